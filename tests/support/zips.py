"""ZIPs of every flavour that a server may send, made with zipfile, or by hand where zipfile cannot."""

import io
import struct
import zipfile
import zlib
from collections.abc import Callable


class _Unseekable(io.RawIOBase):
    """Makes zipfile write data descriptors, as it does to a socket."""

    def __init__(self) -> None:
        self.data = bytearray()

    def writable(self) -> bool:
        return True

    def write(self, data) -> int:
        self.data += data
        return len(data)


def zip_of(content: bytes, *, method: int = 8, seekable: bool = True, zip64: bool = False) -> bytes:
    """Return a ZIP with one entry, written by Python's zipfile."""
    out = io.BytesIO() if seekable else _Unseekable()
    info = zipfile.ZipInfo("554023000000568002.csv")
    info.compress_type = method
    with zipfile.ZipFile(out, "w") as archive, archive.open(info, "w", force_zip64=zip64) as entry:
        entry.write(content)
    return out.getvalue() if isinstance(out, io.BytesIO) else bytes(out.data)


def hand_made(
    content: bytes,
    *,
    method: int = 8,
    signature: bytes = b"PK\x07\x08",
    wide: bool = False,
    descriptor: bool = True,
    flags: int = 0,
    crc32: int | None = None,
    entries: int = 1,
    comment: bytes = b"",
) -> bytes:
    """Return a ZIP with one entry. `signature` and `wide` (8-byte sizes) form its descriptor."""
    compressor = zlib.compressobj(wbits=-15)
    data = compressor.compress(content) + compressor.flush() if method else content
    crc = zlib.crc32(content) if crc32 is None else crc32
    name = b"1.csv"
    flags |= 0x8 if descriptor else 0
    sizes = (0, 0, 0) if descriptor else (crc, len(data), len(content))
    local = struct.pack("<4s5H3L2H", b"PK\x03\x04", 20, flags, method, 0, 0, *sizes, len(name), 0) + name
    tail = b""
    if descriptor:
        tail = signature + struct.pack("<LQQ" if wide else "<LLL", crc, len(data), len(content))
    central = struct.pack(
        "<4s6H3L5H2L", b"PK\x01\x02", 20, 20, flags, method, 0, 0, crc, len(data), len(content), len(name),
        0, 0, 0, 0, 0, 0,
    ) + name  # fmt: skip
    offset = len(local) + len(data) + len(tail)
    end = struct.pack("<4s4H2LH", b"PK\x05\x06", 0, 0, entries, entries, len(central), offset, len(comment))
    return local + data + tail + central + end + comment


def with_folder(
    content: bytes | None, *, method: int = 8, seekable: bool = True, folders: int = 1, inside: bytes = b""
) -> bytes:
    """Return a ZIP with entries of folders before the file; no file if `content` is None.

    With method 8 the folders are as Java writes them. `inside` is their content.
    """
    out = io.BytesIO() if seekable else _Unseekable()
    with zipfile.ZipFile(out, "w") as archive:
        for depth in range(folders):
            folder = zipfile.ZipInfo("export/" * (depth + 1))
            folder.compress_type = method
            with archive.open(folder, "w") as entry:
                entry.write(inside)
        if content is not None:
            info = zipfile.ZipInfo("export/554023000000568002.csv")
            info.compress_type = 8
            with archive.open(info, "w") as entry:
                entry.write(content)
    return out.getvalue() if isinstance(out, io.BytesIO) else bytes(out.data)


FLAVOURS: dict[str, Callable[[bytes], bytes]] = {
    "deflated": zip_of,
    "deflated, descriptor": lambda content: zip_of(content, seekable=False),
    "deflated, zip64": lambda content: zip_of(content, zip64=True),
    "deflated, descriptor, zip64": lambda content: zip_of(content, seekable=False, zip64=True),
    "deflated, descriptor without signature": lambda content: hand_made(content, signature=b""),
    "deflated, wide descriptor": lambda content: hand_made(content, wide=True),
    "deflated, wide descriptor without signature": lambda content: hand_made(
        content, wide=True, signature=b""
    ),
    "stored": lambda content: zip_of(content, method=0),
    "stored, zip64": lambda content: zip_of(content, method=0, zip64=True),
    "stored, descriptor": lambda content: zip_of(content, method=0, seekable=False),
    "stored, descriptor, zip64": lambda content: zip_of(content, method=0, seekable=False, zip64=True),
    "stored, descriptor without signature": lambda content: hand_made(content, method=0, signature=b""),
    "with comment": lambda content: hand_made(content, comment=b"made by PK\x05\x06 Zoho"),
    "after a folder": lambda content: with_folder(content, method=0),
    "after a compressed folder, descriptors": lambda content: with_folder(content, seekable=False),
    "after two folders, descriptors": lambda content: with_folder(
        content, method=0, seekable=False, folders=2
    ),
}


def cut(data: bytes, size: int) -> list[bytes]:
    """Cut data into chunks of a size."""
    return [data[start : start + size] for start in range(0, len(data), size)]


def deflated_data(archive: bytes) -> bytes | None:
    """Return the compressed bytes of a ZIP's only file, or None if it is stored."""
    header = archive.rfind(b"PK\x03\x04", 0, archive.find(b".csv"))
    method, name_length, extra_length = struct.unpack_from("<8xH16xHH", archive, header)
    if not method:
        return None
    data = archive[header + 30 + name_length + extra_length :]
    inflater = zlib.decompressobj(wbits=-15)
    inflater.decompress(data)
    return data[: len(data) - len(inflater.unused_data)]
