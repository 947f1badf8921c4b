"""A connection."""

from crm_export.connections.model import Connection
from crm_export.zoho.grants import RefreshToken


def test_refresh_token_is_not_in_the_repr():
    assert "secret" not in repr(Connection("a", "o", "https://x", "https://y", RefreshToken("secret")))
