"""Which processes work on a folder. The operating system knows when one has died, however it died."""

import fcntl
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Self


class Processes:
    """The processes of a folder: each holds a lock on a file of its own as long as it runs.

    A lease in the table names its process. If that process is dead, the lease is void at once, so the work of
    a process that was killed is taken over as soon as another one looks at it.
    """

    def __init__(self, folder: Path) -> None:
        folder.mkdir(mode=0o700, exist_ok=True)
        self._folder = folder
        self._sweep()
        self.own = secrets.token_hex(8)
        self._lock: int | None = self._acquire()

    def _acquire(self) -> int:
        while True:
            lock = _open(self._path(self.own))
            fcntl.flock(lock, fcntl.LOCK_EX)
            if self._path(self.own).exists():
                return lock
            os.close(lock)  # another process swept the file before it was locked

    def is_alive(self, process: str) -> bool:
        """Return True if a process still runs."""
        if process == self.own and self._lock is not None:
            return True
        try:
            lock = os.open(self._path(process), os.O_RDWR)
        except FileNotFoundError:
            return False
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        else:
            self._path(process).unlink(missing_ok=True)
            return False
        finally:
            os.close(lock)

    def close(self) -> None:
        """Give up this process's leases: other processes see it as dead."""
        if self._lock is not None:
            self._path(self.own).unlink(missing_ok=True)
            os.close(self._lock)
            self._lock = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _sweep(self) -> None:
        """Delete the files of processes that were killed."""
        self.own = ""
        self._lock = None
        for path in self._folder.glob("*.lock"):
            self.is_alive(path.stem)

    def _path(self, process: str) -> Path:
        return self._folder / f"{process}.lock"


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold the lock of a file: one process at a time changes what it protects."""
    lock = _open(path)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
    finally:
        os.close(lock)


def _open(path: Path) -> int:
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
