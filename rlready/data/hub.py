"""Datasets of the Hugging Face hub: their commit and their rows."""

from collections.abc import Callable, Iterator

from rlready.data.files import ROWS_AT_ONCE
from rlready.data.registry import Source
from rlready.errors import InputError, Unreachable, one_line


def find_commit(source: Source) -> str:
    """Returns the commit of a dataset at the revision of its entry.

    Raises Unreachable if the hub could not be asked, and InputError if it is gated, absent, or has no such revision.
    """
    from huggingface_hub import HfApi
    from huggingface_hub.errors import GatedRepoError, RepositoryNotFoundError, RevisionNotFoundError

    refused = {  # the first that an error is an instance of
        GatedRepoError: f"gated; ask for access at https://huggingface.co/datasets/{source.hub} and set HF_TOKEN",
        RevisionNotFoundError: f"the hub has no revision {source.revision} of {source.hub} any more; it has changed",
        RepositoryNotFoundError: f"the hub has no dataset {source.hub} (or it is private: set HF_TOKEN)",
    }
    try:
        info = HfApi().dataset_info(source.hub, revision=source.revision)
    except Exception as error:
        for kind, message in refused.items():
            if isinstance(error, kind):
                raise InputError(f"{source.name}: {message}") from error
        raise Unreachable(
            f"{source.name}: the hub could not be asked ({one_line(error)}); a local file works too, or a folder of copies"
            " (curate_mirror)"
        ) from error
    if info.sha is None:
        raise Unreachable(f"{source.name}: the hub named no commit of {source.hub}")
    return info.sha


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
