"""A connection."""

from crm_export.connections.model import Connection


def test_refresh_token_is_not_in_the_repr():
    assert "secret" not in repr(Connection("a", "o", "https://x", "https://y", "secret"))
