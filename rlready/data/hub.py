"""Datasets of the Hugging Face hub: their commit and their rows."""

from collections.abc import Callable, Iterator

from rlready.data.files import ROWS_AT_ONCE
from rlready.data.registry import Source
from rlready.errors import InputError, Unreachable, error_context, one_line
from rlready.models import remote


def find_commit(source: Source) -> str:
    """Returns the commit of a dataset at the revision of its entry.

    Raises Unreachable if the hub could not be asked, and InputError if it is gated, absent, or has no such revision.
    """
    with error_context(source.name):
        try:
            return remote.find_commit("dataset", source.hub, source.revision)
        except Unreachable as error:
            raise Unreachable(
                f"the hub could not be asked ({error}); a local file works too, or a folder of copies (curate_mirror)"
            ) from error


def read_tables(source: Source, revision: str, list_columns: Callable[[list[str]], list[str] | None]) -> Iterator:
    """Yields (configuration, number of the first row, Arrow table) of a dataset, some rows at a time.

    `list_columns` returns which of its columns to read, or None for all.
    """
    import datasets

    for config in source.configs:
        try:
            rows = datasets.load_dataset(
                source.hub, config, split=source.split, revision=revision or None, data_dir=source.folder
            )
        except Exception as error:
            raise InputError(f"{source.name}: {one_line(error)}") from error
        names = list_columns(rows.column_names)
        rows = rows.select_columns(names).with_format("arrow") if names else rows.with_format("arrow")
        number = 0
        for table in rows.iter(ROWS_AT_ONCE):
            yield config, number, table
            number += table.num_rows
