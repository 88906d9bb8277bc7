"""Opening the pictures of problems, which come unchecked from data sets."""

import io

from rlready.errors import InputError

FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "GIF")  # none that runs a program (EPS) or can hold many pages
MOST_PIXELS = 50_000_000  # a small file can decompress to gigabytes


def open_picture(content: bytes):
    """Returns the picture in a file's content, as an RGB image of PIL.

    Raises InputError if it is none of FORMATS, larger than MOST_PIXELS, or damaged.
    """
    from PIL import Image

    try:
        picture = Image.open(io.BytesIO(content), formats=FORMATS)
        if picture.width * picture.height <= MOST_PIXELS:
            return picture.convert("RGB")
    # What PIL raises for damaged files depends on the format.
    except (OSError, SyntaxError, ValueError, TypeError, IndexError, Image.DecompressionBombError) as error:
        raise InputError(f"the picture is damaged, or none of {', '.join(FORMATS)}") from error
    raise InputError(f"the picture has more than {MOST_PIXELS:,} pixels")
