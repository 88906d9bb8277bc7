"""Pictures that belong to problems: files from a data set, which nobody has checked."""

import io

from rlready.errors import InputError

# Nothing that runs another program (EPS) or can hold many pages.
FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "GIF")
MOST_PIXELS = 50_000_000  # a small file can unfold to gigabytes


def open_picture(content: bytes):
    """Returns a picture in RGB, as PIL's Image.

    Args:
        content: The file.

    Raises:
        InputError: If it is none of FORMATS, larger than MOST_PIXELS, or damaged.
    """
    from PIL import Image

    try:
        picture = Image.open(io.BytesIO(content), formats=FORMATS)
        fits = picture.width * picture.height <= MOST_PIXELS
        shown = picture.convert("RGB") if fits else None
    # What PIL raises for damaged files depends on the format.
    except (OSError, SyntaxError, ValueError, TypeError, IndexError, Image.DecompressionBombError) as error:
        raise InputError(f"the picture is damaged, or none of {', '.join(FORMATS)}") from error
    if shown is None:
        raise InputError(f"the picture has more than {MOST_PIXELS:,} pixels")
    return shown
