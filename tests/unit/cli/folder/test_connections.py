"""The file of a folder's connections; tests/contract has what every store of connections does."""

import stat
from concurrent.futures import ThreadPoolExecutor

import pytest

from crm_export.errors import ConnectionMalformed, ConnectionNotFound, StoreUnavailable
from crm_export_cli.folder.wiring import connections_of

TOKEN = {"refresh_token": "1000.s3cret", "api_domain": "https://www.zohoapis.eu"}


@pytest.fixture
def store(tmp_path):
    return connections_of(tmp_path / "out", ("http://127.0.0.1:9",))


@pytest.fixture
def file(tmp_path):
    return tmp_path / "out" / ".crm-export" / "connections.json"


def mode(path):
    return stat.S_IMODE(path.stat().st_mode)


def test_only_the_owner_can_read_what_is_stored(store, tmp_path):
    private = tmp_path / "out" / ".crm-export"
    private.mkdir(parents=True, mode=0o755)
    assert store.put("local", "local", TOKEN)
    assert mode(private) == 0o700
    assert {mode(path) for path in private.iterdir()} == {0o600}


def test_put_replaces_one_connection_and_clears_its_mark(store):
    store.put("a", "u1", TOKEN)
    store.put("a", "u2", TOKEN)
    store.mark_account(store.get("a", "u1"))
    assert not store.put("a", "u1", {**TOKEN, "refresh_token": "1000.n3w"})
    assert [entry.is_invalidated for entry in store.entries("a")] == [False, True]
    assert store.get("a", "u1").grant.value == "1000.n3w"


def test_origins_that_were_trusted_with_a_connection_stay_trusted(store, tmp_path):
    here = "http://127.0.0.1:9"
    store.put("a", "u", {**TOKEN, "api_domain": here, "accounts_server": here})
    later = connections_of(tmp_path / "out", ())
    assert later.get("a", "u").api_domain == here
    assert later.entries("a")[0].trusted_origins == (here,)


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


@pytest.mark.parametrize(
    "text", ["", "s3cret", "[]", '{"connections": []}', '{"connections": {"a": "s3cret"}}']
)
def test_file_that_is_not_ours_is_malformed_and_left_alone(store, file, text):
    store.put("a", "u", TOKEN)
    file.write_text(text)
    for call in (store.get, store.delete, lambda *who: store.put(*who, TOKEN)):
        with pytest.raises(ConnectionMalformed, match="connections.json") as raised:
            call("a", "u")
        assert "s3cret" not in raised.value.message
    assert file.read_text() == text


def test_folder_that_is_a_file_is_reported(tmp_path):
    (tmp_path / ".crm-export").write_text("")
    store = connections_of(tmp_path, ())
    with pytest.raises(StoreUnavailable, match="cannot be read"):
        store.get("a", "u")
    with pytest.raises(StoreUnavailable, match="cannot be created"):
        store.put("a", "u", TOKEN)
