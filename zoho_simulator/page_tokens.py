"""Page tokens of the records API and of Bulk Read: opaque, bound to a user, good for a day."""

import secrets
import threading
from dataclasses import dataclass, replace
from typing import Any

from zoho_simulator.config import SimulatorConfig


@dataclass(frozen=True)
class PageToken:
    """What a token stands for; `payload` belongs to whoever issued it."""

    user: str
    payload: Any
    expires_at: float


class PageTokens:
    """Issued tokens. Unknown ones give None; the caller checks user and expiry, as the errors differ."""

    def __init__(self, config: SimulatorConfig) -> None:
        self._config = config
        self._lock = threading.Lock()
        self._tokens: dict[str, PageToken] = {}

    def issue(self, user: str, payload: Any) -> tuple[str, PageToken]:
        """A new token for this user."""
        token = PageToken(user, payload, self._config.clock() + self._config.page_token_seconds)
        text = secrets.token_hex(48)
        with self._lock:
            self._tokens[text] = token
        return text, token

    def find(self, text: str) -> PageToken | None:
        """What the token stands for."""
        with self._lock:
            return self._tokens.get(text)

    def expire_all(self) -> int:
        """Let every token issued so far be past its day."""
        with self._lock:
            now = self._config.clock()
            self._tokens = {text: replace(token, expires_at=now) for text, token in self._tokens.items()}
            return len(self._tokens)

    def expired(self, token: PageToken) -> bool:
        """Whether its day is over."""
        return token.expires_at <= self._config.clock()
