"""Checks files against their manifest: size, CRC32, number of records, and the ids of the records."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from isal import igzip
from isal.isal_zlib import IsalError

from crm_export.errors import CorruptZip, RecordRepeated
from crm_export.results.counters import ByteCounter, IcsCounter
from crm_export.results.csv_scanner import csv_counter
from crm_export.results.record_ids import RecordIds
from crm_export_cli.exits import CliError, Exit

_CHUNK = 1 << 20
_UNREADABLE = (OSError, EOFError, igzip.BadGzipFile, IsalError, CorruptZip, RecordRepeated)


def manifests_below(folder: Path) -> list[Path]:
    """Return the manifests in a folder and below. Raises CliError if there is none."""
    found = sorted(folder.rglob("manifest.json")) if folder.is_dir() else [folder] * folder.is_file()
    if not found:
        raise CliError(
            f"There is no manifest.json in {folder} or below.",
            Exit.USAGE,
            code="NO_MANIFEST",
            remedy="Name the folder of an export that is COMPLETED.",
        )
    return found


def verify(manifest_file: Path) -> dict[str, Any]:
    """Check the files next to a manifest. Return export_id, module, records, bytes, and `problems`."""
    try:
        manifest = json.loads(manifest_file.read_text())
        parts, facts = manifest["parts"], {name: manifest[name] for name in _FACTS}
        problems = [found for part in parts for found in _problems(manifest_file.parent, part)]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise CliError(
            f"{manifest_file} is not a manifest of an export: {type(error).__name__}.", code="NO_MANIFEST"
        ) from error
    counted = sum(part["records"] for part in parts)
    if counted != manifest["records"]:
        problems.append(f"its parts have {counted} records, the manifest says {manifest['records']}")
    named = {part["key"].rpartition("/")[2] for part in parts}
    others = sorted({path.name for path in manifest_file.parent.glob("part-*")} - named)
    problems += [f"{name} does not belong to the export" for name in others]
    return {**facts, "manifest": str(manifest_file), "parts": len(parts), "problems": problems}


_FACTS = ("export_id", "module", "records", "bytes")


def _problems(folder: Path, part: dict[str, Any]) -> Iterator[str]:
    name = part["key"].rpartition("/")[2]
    path = folder / name
    if not path.is_file():
        yield f"{name} is missing"
        return
    if path.stat().st_size != part["bytes"]:
        yield f"{name} has {path.stat().st_size} bytes instead of {part['bytes']}"
        return
    try:
        content, records, ids = _read(path)
    except _UNREADABLE as error:  # type: ignore[misc]  # isal's stub declares IsalError as an instance
        yield f"{name} cannot be read: {error}"
        return
    found = {"CRC32": f"{content.crc32:08x}", "records": records}
    expected = {"CRC32": part["crc32"], "records": part["records"]}
    if part.get("ids") is not None:
        expected["ids"], found["ids"] = part["ids"], ids and ids.to_dict()
    for what, value in expected.items():
        if found[what] != value:
            instead = "" if what == "ids" else f" {found[what]} instead of {value}"
            yield f"{name} has other {what} than the manifest says{f':{instead}' if instead else ''}"


def _read(path: Path) -> tuple[ByteCounter, int, Any]:
    """Return the counted content of a file, the number of its records, and its PartIds."""
    content, ids = ByteCounter(), RecordIds()
    counter = IcsCounter() if path.suffix == ".ics" else csv_counter(ids)
    is_gzip = path.suffix == ".gz"
    opened: Any = igzip.IGzipFile(path, "rb") if is_gzip else path.open("rb")  # type: ignore[no-untyped-call]
    with opened as file:
        while chunk := file.read(_CHUNK):
            content.feed(chunk)
            counter.feed(chunk)
    records, _ = counter.finish()
    return content, records, ids.finish(records)
