"""The functions' logs on the console, as they are written."""

from pathlib import Path
from threading import Event, Thread
from types import TracebackType
from typing import Self, TextIO

_SECONDS = 0.1


class LogFollower:
    """Copies what is added to the log files of a folder, each line with the name of its file."""

    def __init__(self, folder: Path, to: TextIO) -> None:
        """Prepare; the context manager follows."""
        self._folder, self._to = folder, to
        self._read: dict[Path, int] = {}
        self._stopped = Event()
        self._thread = Thread(target=self._follow, daemon=True)

    def __enter__(self) -> Self:
        """Start copying."""
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Copy what is left, and stop."""
        self._stopped.set()
        self._thread.join()

    def _follow(self) -> None:
        while not self._stopped.wait(_SECONDS):
            self._copy()
        self._copy()

    def _copy(self) -> None:
        for path in sorted(self._folder.glob("*.log")):
            for line in read_new_lines(path, self._read):
                print(f"[{path.stem}] {line}", file=self._to, flush=True)


def read_new_lines(path: Path, read: dict[Path, int]) -> list[str]:
    """Return the whole lines added to `path` since the last call with the same `read`."""
    if not path.exists():
        return []
    start = read.get(path, 0)
    if path.stat().st_size < start:
        start = 0
    with path.open("rb") as file:
        file.seek(start)
        added, newline, _ = file.read().rpartition(b"\n")
    read[path] = start + len(added) + len(newline)
    return added.decode(errors="replace").splitlines()
