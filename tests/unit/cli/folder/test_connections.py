"""The file of a folder's connections; tests/contract has what every store of connections does."""

import json
import stat
from concurrent.futures import ThreadPoolExecutor

import pytest

from crm_export.errors import ConfigurationError, ConnectionMalformed, ConnectionNotFound
from crm_export_cli.folder.connections import FolderConnections, connections_file

TOKEN = {"refresh_token": "1000.s3cret", "api_domain": "https://www.zohoapis.eu"}


@pytest.fixture
def store(tmp_path):
    return FolderConnections(tmp_path / "out")


def mode(path):
    return stat.S_IMODE(path.stat().st_mode)


def test_only_the_owner_can_read_what_is_stored(store, tmp_path):
    private = tmp_path / "out" / ".crm-export"
    private.mkdir(parents=True, mode=0o755)
    assert store.put("local", "local", TOKEN)
    assert mode(private) == 0o700
    assert {mode(path) for path in private.iterdir()} == {0o600}


def test_put_replaces_one_connection_and_clears_its_mark(store, tmp_path):
    store.put("a", "u1", TOKEN)
    store.put("a", "u2", TOKEN)
    store.mark_account(store.get("a", "u1"))
    assert not store.put("a", "u1", {**TOKEN, "refresh_token": "1000.n3w"})
    documents = json.loads(connections_file(tmp_path / "out").read_text())["connections"]
    marks = {document["owner"]: "token_invalidated" in document for document in documents}
    assert marks == {"u1": False, "u2": True}
    assert store.get("a", "u1").grant.value == "1000.n3w"


def test_delete_removes_one_connection(store):
    store.put("a", "u1", TOKEN)
    store.put("a", "u2", TOKEN)
    assert (store.delete("a", "u1"), store.delete("a", "u1")) == (1, 0)
    assert [entry.owner for entry in store.entries(None)] == ["u2"]
    with pytest.raises(ConnectionNotFound):
        store.get("a", "u1")


def test_writers_at_the_same_time_lose_nothing(store):
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda number: store.put("a", f"u{number}", TOKEN), range(24)))
    assert len(store.entries("a")) == 24


def test_reading_creates_nothing(store, tmp_path):
    assert store.entries(None) == []
    assert store.delete("a", "u") == 0
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("text", ["", "s3cret", "[]", '{"connections": {}}', '{"connections": ["s3cret"]}'])
def test_file_that_is_not_ours_is_malformed_and_left_alone(store, tmp_path, text):
    store.put("a", "u", TOKEN)
    connections_file(tmp_path / "out").write_text(text)
    for call in (store.get, store.delete, lambda *who: store.put(*who, TOKEN)):
        with pytest.raises(ConnectionMalformed, match="connections.json") as raised:
            call("a", "u")
        assert "s3cret" not in raised.value.message
    assert connections_file(tmp_path / "out").read_text() == text


def test_folder_that_is_a_file_cannot_be_read(tmp_path):
    (tmp_path / ".crm-export").write_text("")
    with pytest.raises(ConfigurationError, match="cannot be read"):
        FolderConnections(tmp_path).get("a", "u")
