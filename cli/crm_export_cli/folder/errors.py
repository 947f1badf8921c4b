"""What can go wrong with a folder, besides what `crm_export.errors` knows."""

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from crm_export.errors import StorageRefused, StorageUnavailable

_NO_SPACE = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


class FolderFull(StorageUnavailable, code="FOLDER_FULL"):
    """There is no space left for the folder: the command ends, and its exports can be resumed."""

    def __init__(self, folder: Path, reason: str) -> None:
        super().__init__(
            f"There is no space left in {folder} ({reason}).",
            retry_after=1,
            remedy="Free some space, then run the command again.",
        )


@contextmanager
def file_errors(folder: Path, action: str, key: str) -> Iterator[None]:
    """Raise FolderFull if there is no space left, and StorageRefused for the other errors of the system."""
    try:
        yield
    except OSError as error:
        if error.errno in _NO_SPACE:
            raise FolderFull(folder, str(error.strerror)) from error
        raise StorageRefused(f"The system refused to {action} {key}: {error.strerror}.") from error
