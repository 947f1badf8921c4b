"""The functions' log files: one per function, read as they grow."""

from collections.abc import Iterator
from pathlib import Path

_NOT_OF_FUNCTIONS = ("aws", "zoho")  # the logs of moto and the simulator


class LogFiles:
    """Reads the log files in a folder, each from where the last reading ended."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._read: dict[str, int] = {}

    def new_lines(self) -> Iterator[tuple[str, str]]:
        """Yield each complete line that was not read yet, after the name of its function."""
        for path in sorted(self._folder.glob("*.log")):
            if path.stem not in _NOT_OF_FUNCTIONS:
                for line in self._lines(path):
                    yield path.stem, line

    def _lines(self, path: Path) -> list[str]:
        begin = self._read.get(path.stem, 0)
        with path.open("rb") as file:
            file.seek(begin)
            content = file.read()
        complete = content[: content.rfind(b"\n") + 1]
        self._read[path.stem] = begin + len(complete)
        return complete.decode(errors="replace").splitlines()
