"""Downloads an export's files: in parallel, resumable, and each checked before it gets its name."""

import json
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from isal import igzip
from isal.isal_zlib import IsalError

from crm_export.results.counters import ByteCounter
from crm_export_cli.backend import View
from crm_export_cli.exits import CliError, Exit
from crm_export_cli.verify import verify

_THREADS = 4
_TRIES = 4
_CHUNK = 1 << 20

# open_file(url, offset): the offset at which the bytes begin, and the bytes.
type OpenFile = Callable[[str, int], AbstractContextManager[tuple[int, Iterator[bytes]]]]


def download(
    view: Callable[[], View], open_file: OpenFile, root: Path, show: Callable[[int, int], None]
) -> Path:
    """Download a COMPLETED export below `root`, with the layout of S3, and verify it. Return its folder.

    view(): the export with fresh links. show(bytes, all): called as bytes arrive. An interrupted download
    leaves .part files, with which the next one continues. The manifest comes last. Raises CliError.
    """
    export = view()
    if export["state"] != "COMPLETED":
        raise CliError(
            f"Export {export['export_id']} is {export['state']}, so there is nothing to download.",
            Exit.FAILED if export["state"] != "RUNNING" else Exit.USAGE,
            code="EXPORT_NOT_COMPLETED",
            remedy="`crm-export exports watch` waits for its end." if export["state"] == "RUNNING" else None,
        )
    manifest_file = root / str(export["manifest_key"])
    try:
        manifest_file.parent.mkdir(parents=True, exist_ok=True)
        manifest = _manifest(export, open_file)
        _parts(json.loads(manifest)["parts"], view, open_file, manifest_file.parent, show)
        _replace(manifest_file, manifest)
    except OSError as error:
        raise CliError(
            f"{error.filename or manifest_file.parent} cannot be written: {error.strerror}.",
            code="FOLDER_UNUSABLE",
            remedy="Correct that and run the command again: it continues where it stopped.",
        ) from error
    if problems := verify(manifest_file)["problems"]:
        raise CliError(f"The files do not fit the manifest: {'; '.join(problems)}.", code="FILES_DIFFER")
    return manifest_file.parent


def _manifest(export: View, open_file: OpenFile) -> bytes:
    with open_file(export["manifest_url"], 0) as (_, chunks):
        return b"".join(chunks)


def _parts(
    parts: list[dict[str, Any]], view: Callable[[], View], open_file: OpenFile, folder: Path,
    show: Callable[[int, int], None],
) -> None:  # fmt: skip
    total, arrived = sum(part["bytes"] for part in parts), [0] * len(parts)

    def fetch(index: int) -> None:
        def note(size: int) -> None:
            arrived[index] = size
            show(sum(arrived), total)

        _part(parts[index], view, open_file, folder, note)

    executor = ThreadPoolExecutor(_THREADS)
    try:
        for future in [executor.submit(fetch, index) for index in range(len(parts))]:
            future.result()
    finally:
        executor.shutdown(wait=False, cancel_futures=True)


def _part(
    part: dict[str, Any], view: Callable[[], View], open_file: OpenFile, folder: Path,
    note: Callable[[int], None],
) -> None:  # fmt: skip
    """Fetch one file. A link is valid for 15 minutes, so each try asks for another one."""
    path = folder / part["key"].rpartition("/")[2]
    if not _is_whole(path, part):
        unfinished = path.with_name(f"{path.name}.part")
        _try(lambda: _fetch(_link(view(), part["key"]), open_file, unfinished, note), unfinished, part)
        unfinished.replace(path)
    note(part["bytes"])


def _try(fetch: Callable[[], None], path: Path, part: dict[str, Any]) -> None:
    """Fetch until a file is whole. A try that was cut off counts only if it brought no bytes."""
    tries = 0
    while tries < _TRIES:
        size = _size(path)
        try:
            fetch()
        except CliError:
            tries += _size(path) <= size
            if tries == _TRIES:
                raise
            continue
        if _is_whole(path, part):
            return
        path.unlink(missing_ok=True)  # the bytes of an earlier command may be wrong
        tries += 1
    raise CliError(f"{path.stem} arrived {_TRIES} times with other bytes.", code="FILES_DIFFER")


def _fetch(url: str, open_file: OpenFile, path: Path, note: Callable[[int], None]) -> None:
    with open_file(url, _size(path)) as (starts_at, chunks), path.open("ab") as file:
        file.truncate(starts_at)
        for chunk in chunks:
            file.write(chunk)
            file.flush()  # what has arrived is kept, even if the process is killed
            note(file.tell())


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _link(export: View, key: str) -> str:
    return next(str(part["url"]) for part in export["parts"] if part["key"] == key)


def _is_whole(path: Path, part: dict[str, Any]) -> bool:
    """Return True if a file has the size and the CRC32 of the manifest, which is of the file before gzip."""
    if not path.exists() or path.stat().st_size != part["bytes"]:
        return False
    is_gzip = part["key"].endswith(".gz")
    opened: Any = igzip.IGzipFile(path, "rb") if is_gzip else path.open("rb")  # type: ignore[no-untyped-call]
    content = ByteCounter()
    try:
        with opened as file:
            while chunk := file.read(_CHUNK):
                content.feed(chunk)
    except (EOFError, igzip.BadGzipFile, IsalError):  # type: ignore[misc]  # as in verify
        return False
    return f"{content.crc32:08x}" == str(part["crc32"])


def _replace(path: Path, content: bytes) -> None:
    temporary = path.with_name(f"{path.name}.part")
    temporary.write_bytes(content)
    temporary.replace(path)
