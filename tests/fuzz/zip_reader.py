"""Runs the ZIP reader on inputs that atheris derives from ZIPs of every flavour; `make fuzz` runs it.

The first byte of an input is the chunk size. An input that fails is written to .local/fuzz/: add it to
tests/unit/results/test_malformed_zips.py.
"""

import sys
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["crm_export"]):
    from tests.support.zip_oracle import check
from tests.support.zips import FLAVOURS

_CONTENTS = (b"", b"Id\r\n1\r\n", b"Id,Name\n" + b"7,\xc3\x84\n" * 40, b"PK\x01\x02PK\x07\x08PK\x05\x06" * 3)


def one_input(data: bytes) -> None:
    """Check one input of atheris."""
    if data:
        check(data[1:], data[0] or 4096)


def write_seeds(folder: Path) -> None:
    """Write a small ZIP of each flavour and content."""
    folder.mkdir(parents=True, exist_ok=True)
    for number, flavour in enumerate(FLAVOURS.values()):
        for index, content in enumerate(_CONTENTS):
            (folder / f"{number:02d}-{index}").write_bytes(b"\x00" + flavour(content))


if __name__ == "__main__":
    corpus = Path(sys.argv[1])
    write_seeds(corpus)
    atheris.Setup([sys.argv[0], str(corpus), *sys.argv[2:]], one_input)
    atheris.Fuzz()
