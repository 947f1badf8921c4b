"""The result ZIPs that are landed: generated once from a seed, and kept in .local/bench/."""

import json
import os
import random
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from benchmarks.servers import JOB_ID, ROOT
from zoho_simulator.bulk.results import csv_chunks
from zoho_simulator.config import SimulatorConfig
from zoho_simulator.data.columns import BLOCK, Column, ComputedColumn, Field, Rows
from zoho_simulator.data.modules import load_module

FOLDER = ROOT / ".local" / "bench"
_VERSION = 1  # part of the files' names: raise it when a recipe changes
_SEED = 12
_HEX = b"0123456789abcdef" * 16
_PRINTABLE = bytes(byte for byte in range(33, 127) if byte not in b'",') * 3
_WORDS = (
    *("call", "customer", "again", "before", "quarter", "ends", "because", "order", "was", "late", "and"),
    *("invoice", "needs", "another", "signature", "from", "regional", "office", "where", "nobody", "answers"),
    *("telephone", "while", "shipment", "waits", "in", "harbour", "near", "warehouse", "seven"),
)


@dataclass(frozen=True)
class Shape:
    """A kind of result: how many records it has in the full run, and what its columns are."""

    name: str
    records: int
    recipe: str


@dataclass(frozen=True)
class Archive:
    """A generated ZIP, with the size of its CSV."""

    shape: str
    path: Path
    records: int
    csv_bytes: int

    @property
    def zip_bytes(self) -> int:
        """The size of the ZIP."""
        return self.path.stat().st_size


# 200,000 records are the most of one Bulk Read job.
SHAPES = (
    Shape("contacts", 200_000, "contacts"),
    Shape("contacts, 400 MB", 200_000, "long"),
    Shape("contacts, 1 GB", 200_000, "longer"),
    Shape("many quotes and newlines", 140_000, "quotes"),
    Shape("200 columns", 70_000, "wide"),
    Shape("nearly incompressible", 200_000, "random"),
)


def archive_of(shape: Shape, share: float = 1) -> Archive:
    """Return the ZIP of a shape with this share of its records. Generates it if it is not there."""
    records = int(shape.records * share)
    path = FOLDER / f"{shape.recipe}-{records}-v{_VERSION}.zip"
    facts = path.with_suffix(".json")
    if not facts.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        unfinished = path.with_suffix(f".{os.getpid()}")
        size = _write(unfinished, _RECIPES[shape.recipe](records))
        unfinished.replace(path)
        facts.write_text(json.dumps({"records": records, "csv_bytes": size}))
    return Archive(shape.name, path, **json.loads(facts.read_text()))


class _Unseekable:
    """Makes zipfile write sizes after the data, as a server that streams a ZIP does."""

    def __init__(self, file: Any) -> None:
        self._file = file

    def write(self, data: bytes, /) -> int:
        return int(self._file.write(data))

    def flush(self) -> None:
        self._file.flush()


def _write(path: Path, chunks: Iterator[bytes]) -> int:
    """Write a ZIP with zlib's usual level, and return the size of its content."""
    info = zipfile.ZipInfo(f"{JOB_ID}.csv", (2026, 1, 1, 0, 0, 0))
    info.compress_type = zipfile.ZIP_DEFLATED
    size = 0
    with path.open("wb") as file:
        target: Any = _Unseekable(file)
        archive = zipfile.ZipFile(target, "w")
        with archive, archive.open(info, "w") as entry:
            for chunk in chunks:
                entry.write(chunk)
                size += len(chunk)
    return size


def _module(records: int, more: list[Column], **config: Any) -> Iterator[bytes]:
    columns = [*load_module(_SEED, "Contacts").exportable(), *more]
    header = ["Id", *(column.field.api_name for column in columns[1:])]
    return csv_chunks(SimulatorConfig(**config), header, columns, range(records))


def _text_column(name: str, text: Callable[[random.Random], str]) -> Column:
    def texts(rows: Rows) -> list[str]:
        rng = random.Random(f"{_SEED}/{name}/{rows[0]}")  # noqa: S311 (test data)
        return [text(rng) for _ in rows]

    return ComputedColumn(Field(name, "text"), texts, may_need_quotes=True)


def _hex(size: int) -> Callable[[random.Random], str]:
    return lambda rng: rng.randbytes(size).translate(_HEX).decode()


@cache
def _sentences() -> list[str]:
    rng = random.Random(_SEED)  # noqa: S311 (test data)
    return [" ".join(rng.choices(_WORDS, k=23)) for _ in range(4096)]


def _prose(sentences: int) -> Callable[[random.Random], str]:
    return lambda rng: ". ".join(rng.choices(_sentences(), k=sentences))


_EXTERNAL = [
    _text_column("External_Id", _hex(66)),
    _text_column("Keywords", lambda rng: " ".join(rng.choices(_WORDS, k=4))),
]


def _contacts(records: int) -> Iterator[bytes]:
    return _module(records, _EXTERNAL)


def _long(records: int) -> Iterator[bytes]:
    return _module(records, [*_EXTERNAL, _text_column("History", _prose(10))])


def _longer(records: int) -> Iterator[bytes]:
    return _module(records, [*_EXTERNAL, _text_column("History", _prose(29))])


def _quotes(records: int) -> Iterator[bytes]:
    def text(rng: random.Random) -> str:
        words = rng.choices(_WORDS, k=24)
        return "".join(word + rng.choice((" ", '" ', ' "', "\n", "\r\n", ", ")) for word in words)

    return _module(records, [_text_column("History", text)], csv_quoting="all")


def _wide(records: int) -> Iterator[bytes]:
    def value(rng: random.Random) -> str:
        return rng.choice(("", "", "true", str(rng.randrange(10**6)), rng.choice(_WORDS), "2026-03-01"))

    columns = [_text_column(f"Custom_{number}", value) for number in range(173)]
    return _module(records, columns)


def _random(records: int) -> Iterator[bytes]:
    rng = random.Random(_SEED)  # noqa: S311 (test data)
    table = (_PRINTABLE * 3)[:256]
    yield b"Id,Attachment"
    for start in range(0, records, BLOCK):
        rows = range(start, min(start + BLOCK, records))
        cells = rng.randbytes(430 * len(rows)).translate(table)
        yield b"".join(
            b"\r\n%d,%s" % (3_652_397_003_000_000_000 + row, cells[430 * at : 430 * (at + 1)])
            for at, row in enumerate(rows)
        )
    yield b"\r\n"


_RECIPES: dict[str, Callable[[int], Iterator[bytes]]] = {
    "contacts": _contacts,
    "long": _long,
    "longer": _longer,
    "quotes": _quotes,
    "wide": _wide,
    "random": _random,
}
