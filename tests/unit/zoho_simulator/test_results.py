"""Result files: zipfile opens every ZIP layout, and the CSV contains the requested fields."""

import csv
import io
import itertools
import struct
import zipfile

import pytest

from zoho_simulator.bulk.results import Layout, archive_length, csv_chunks, measure, zip_stream
from zoho_simulator.config import SimulatorConfig
from zoho_simulator.data.modules import load_module

LAYOUTS = [
    Layout(method, sizes, zip64)
    for method, sizes, zip64 in itertools.product(
        ("deflate", "store"), ("descriptor", "descriptor_no_signature", "header"), (False, True)
    )
]
ROWS = range(300)


def contacts_csv(config=None, rows=ROWS):
    module = load_module(1, "Contacts")
    columns = module.exportable()
    return csv_chunks(config or SimulatorConfig(), [c.field.api_name for c in columns], columns, rows)


def name_of(layout):
    return f"{layout.method}-{layout.sizes}-{'zip64' if layout.zip64 else 'zip32'}"


@pytest.mark.parametrize("layout", LAYOUTS, ids=name_of)
def test_zipfile_opens_every_layout(layout):
    plain = b"".join(contacts_csv())
    archive = b"".join(zip_stream(layout, "7.csv", contacts_csv))
    with zipfile.ZipFile(io.BytesIO(archive)) as opened:
        assert opened.namelist() == ["7.csv"]
        assert opened.testzip() is None
        assert opened.read("7.csv") == plain
    assert archive_length(layout, "7.csv", measure(layout, contacts_csv())) == len(archive)


@pytest.mark.parametrize("layout", LAYOUTS, ids=name_of)
def test_local_header_has_sizes_only_if_they_are_known(layout):
    archive = b"".join(zip_stream(layout, "7.csv", contacts_csv))
    _, version, flags, _, _, _, crc, packed, size, name, extra = struct.unpack("<LHHHHHLLLHH", archive[:30])
    known = layout.sizes == "header"
    assert bool(flags & 8) is not known
    assert bool(crc) is known
    assert version == (45 if layout.zip64 else 20)
    assert extra == (20 if layout.zip64 else 0)
    expected = 0xFFFFFFFF if layout.zip64 else len(b"".join(contacts_csv())) if known else 0
    assert size == expected
    assert (packed > 0) is (known or layout.zip64)
    assert archive[30 : 30 + name] == b"7.csv"


def test_descriptor_has_a_signature_unless_configured():
    rows = range(3)
    marked = b"".join(zip_stream(Layout(), "7.csv", lambda: contacts_csv(rows=rows)))
    plain = b"".join(
        zip_stream(Layout(sizes="descriptor_no_signature"), "7.csv", lambda: contacts_csv(rows=rows))
    )
    assert (marked.count(b"PK\x07\x08"), plain.count(b"PK\x07\x08")) == (1, 0)
    assert len(marked) == len(plain) + 4


def test_corrupt_checksum_makes_a_bad_zip():
    archive = b"".join(zip_stream(Layout(corrupt_crc=True), "7.csv", contacts_csv))
    with zipfile.ZipFile(io.BytesIO(archive)) as opened, pytest.raises(zipfile.BadZipFile):
        opened.read("7.csv")


def test_zip_stream_generates_content_lazily():
    generated = []

    def content():
        for n in range(100):
            generated.append(n)
            yield b"x" * 1000

    stream = zip_stream(Layout(method="store"), "7.csv", content)
    next(stream)
    next(stream)
    assert generated == [0]


@pytest.mark.parametrize("newline", ["\r\n", "\n"])
@pytest.mark.parametrize("quoting", ["minimal", "all"])
def test_csv_contains_the_records(newline, quoting):
    config = SimulatorConfig(csv_newline=newline, csv_quoting=quoting)
    text = b"".join(contacts_csv(config, range(4200))).decode()  # more than one block
    header, *rows = csv.reader(io.StringIO(text, newline=""))
    assert len(rows) == 4200
    assert {len(row) for row in rows} == {len(header)}
    assert text.endswith(newline)
    assert text.startswith('"' if quoting == "all" else "id,")
    record = load_module(1, "Contacts").record(4111)
    row = dict(zip(header, rows[4111], strict=True))
    assert row["id"] == record["id"]
    assert row["Description"] == (record["Description"] or "")
    assert row["Owner"] == record["Owner"]["id"]
    assert row["Email_Opt_Out"] == str(record["Email_Opt_Out"]).lower()
    assert row["Modified_Time"] == record["Modified_Time"]


def test_cells_contain_text_that_breaks_naive_readers():
    text = b"".join(contacts_csv()).decode()
    cells = {cell for row in csv.reader(io.StringIO(text, newline="")) for cell in row}
    for awkward in (",", '"', "\n", "\r\n", "💶", "山", "п"):
        assert any(awkward in cell for cell in cells), awkward
    assert {"", "true", "false"} <= cells


def test_cells_do_not_depend_on_the_block_they_are_read_in():
    module = load_module(1, "Contacts")
    for column in module.exportable():
        block = list(column.cells(range(4090, 4200)))
        assert list(column.cells(list(range(4090, 4200)))) == block
    assert load_module(2, "Contacts").record(5) != module.record(5)


@pytest.mark.parametrize("sizes", ["descriptor", "header"])
def test_content_length_is_the_size_of_the_archive(start, sizes):
    client = start(
        result_content_length=True,
        zip_sizes=sizes,
        result_content_type="application/x-download",
        result_filename_style="extended",
    )
    details = client.export()
    response = client.get(details["result"]["download_url"])
    assert response.length == len(response.content)
    assert response.headers["Content-Type"] == "application/x-download"
    assert response.headers["Content-Disposition"].endswith(f"filename*=UTF-8''{details['id']}.zip")
    assert len(client.rows(details)) == 251


def test_fields_keep_their_order_and_the_id_has_its_configured_place(start):
    names = ["Owner.last_name", "Account_Name", "Account_Name.Account_Name", "Email"]
    first, last = start(), start(id_position="last", id_header="id")
    assert first.rows(first.export(fields=names))[0] == ["Id", *names]
    assert last.rows(last.export(fields=names))[0] == [*names, "id"]
    assert last.rows(last.export())[0][-1] == "id"
    assert first.rows(first.export(fields=["Email", "id"]))[0] == ["Email", "Id"]


def test_export_of_all_fields_leaves_out_unexportable_fields(client):
    header = client.rows(client.export())[0]
    assert header[0] == "Id"
    assert not {"Mailing_Address", "Contract", "Events_Attended"} & set(header)


def test_more_fields_than_the_limit_export_all_fields(start):
    client = start(bulk_fields_limit=2)
    assert client.rows(client.export(fields=["Email", "Phone"]))[0] == ["Id", "Email", "Phone"]
    assert len(client.rows(client.export(fields=["Email", "Phone", "Title"]))[0]) > 20


def test_byte_order_mark_can_be_configured(start):
    client = start(csv_bom=True)
    details = client.export(fields=["Interests"])
    assert any("," in row[1] for row in client.rows(details)[1:])
    archive = client.get(details["result"]["download_url"]).content
    with zipfile.ZipFile(io.BytesIO(archive)) as opened:
        assert opened.read(f"{details['id']}.csv").startswith(b"\xef\xbb\xbfId,")


def test_last_line_of_a_csv_can_lack_its_newline():
    config = SimulatorConfig(csv_final_newline=False)
    assert b"".join(contacts_csv(config)) == b"".join(contacts_csv()).removesuffix(b"\r\n")
