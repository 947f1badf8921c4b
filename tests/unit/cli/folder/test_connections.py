"""The connections of a folder as the user sees them; tests/contract has what the pipeline needs of them."""

import json

import pytest

from crm_export.errors import ConnectionMalformed, ConnectionNotFound, StoreUnavailable, UntrustedOrigin
from crm_export_cli.entries import Entry
from crm_export_cli.folder.connections import FolderConnections

TOKEN = {
    "refresh_token": "1000.r",
    "api_domain": "http://127.0.0.1:9",
    "accounts_server": "http://127.0.0.1:9",
}
TRUSTED = ("http://127.0.0.1:9",)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "connections.json"


def test_connection_is_put_listed_and_deleted(path):
    store = FolderConnections(path, TRUSTED)
    assert [store.put("local", "local", TOKEN) for _ in range(2)] == [True, False]
    document = {"token": TOKEN, "trusted_origins": list(TRUSTED)}
    assert (
        store.entries(None) == store.entries("local", "local") == [Entry("local", "local", document, TRUSTED)]
    )
    assert store.entries("another") == []
    assert [store.delete("local", "local") for _ in range(2)] == [1, 0]
    with pytest.raises(ConnectionNotFound):
        store.get("local", "local")


def test_host_that_was_trusted_when_it_was_stored_stays_trusted(path):
    FolderConnections(path, TRUSTED).put("local", "local", TOKEN)
    assert FolderConnections(path, ()).get("local", "local").api_domain == TRUSTED[0]
    FolderConnections(path, ()).put("local", "local", TOKEN)
    with pytest.raises(UntrustedOrigin):
        FolderConnections(path, ()).get("local", "local")


def test_new_grant_is_not_marked_any_more(path):
    store = FolderConnections(path, TRUSTED)
    store.put("local", "local", TOKEN)
    store.mark(store.get("local", "local"))
    assert store.entries(None)[0].document["token_invalidated"] is True
    store.put("local", "local", TOKEN)
    assert "token_invalidated" not in store.entries(None)[0].document


def test_file_is_replaced_as_a_whole_and_readable_by_its_owner_only(path):
    store = FolderConnections(path, TRUSTED)
    store.put("local", "local", TOKEN)
    before = path.stat().st_ino
    store.put("local", "local", TOKEN)
    assert path.stat().st_ino != before
    assert {file.name: file.stat().st_mode & 0o777 for file in path.parent.iterdir()} == {
        "connections.json": 0o600,
        "connections.lock": 0o600,
    }


@pytest.mark.parametrize("content", ["", "{", "[]", "{}", '{"connections": {"local": []}}'])
def test_file_that_is_not_one_of_connections_is_refused_and_left_alone(path, content):
    path.write_text(content)
    store = FolderConnections(path, TRUSTED)
    for use in (lambda: store.get("local", "local"), lambda: store.put("local", "local", TOKEN)):
        with pytest.raises(ConnectionMalformed, match=r"connections\.json"):
            use()
    assert path.read_text() == content


def test_folder_in_place_of_the_file_is_reported(path):
    path.mkdir()
    with pytest.raises(StoreUnavailable, match="cannot be read: Is a directory"):
        FolderConnections(path, ()).get("local", "local")


def test_document_that_is_not_an_object_is_listed_without_it(path):
    path.write_text(json.dumps({"connections": {"local": {"local": 5}}}))
    assert FolderConnections(path, ()).entries(None) == [Entry("local", "local", None)]
    with pytest.raises(ConnectionMalformed):
        FolderConnections(path, ()).get("local", "local")
