"""JWTs: made as the stack's identity provider would, and verified as an API Gateway JWT authorizer does."""

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import rsa

ISSUER = "https://issuer.local.invalid"
AUDIENCE = "zoho-crm-export-local"
TWELVE_HOURS = 12 * 3600


class UnauthorizedError(Exception):
    """The token is missing or not good for this API; API Gateway answers 401 without saying why."""


class ForbiddenError(Exception):
    """The token lacks a scope the route asks for; API Gateway answers 403."""


class TokenIssuer:
    """An identity provider with a key pair of its own, made anew with every stack."""

    def __init__(self, issuer: str = ISSUER, audience: str = AUDIENCE) -> None:
        """Make the key pair; `issuer` and `audience` are the template's parameters."""
        self._issuer, self._audience = issuer, audience
        self._key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        self.public_key = self._key.public_key()

    def mint(
        self,
        account: str,
        owner: str,
        claims: Mapping[str, Any] | None = None,
        expires_in: int = TWELVE_HOURS,
    ) -> str:
        """Return a JWT of the caller `owner` of `account`; `claims` add to or replace its claims."""
        now = int(time.time())
        own = {
            "iss": self._issuer,
            "aud": self._audience,
            "sub": owner,
            "iat": now,
            "exp": now + expires_in,
            "account_id": account,
            "uid": owner,
        }
        return jwt.encode({**own, **(claims or {})}, self._key, algorithm="RS256", headers={"kid": "local"})


@dataclass(frozen=True)
class Authorizer:
    """A JWT authorizer of an HTTP API."""

    issuer: str
    audience: tuple[str, ...]
    public_key: rsa.RSAPublicKey
    header: str = "authorization"

    def authorize(self, headers: Mapping[str, str], scopes: Sequence[str]) -> dict[str, Any]:
        """Return `requestContext.authorizer` for the request; raises UnauthorizedError or ForbiddenError."""
        token = headers.get(self.header, "").strip()
        if token.lower().startswith("bearer "):
            token = token[7:].strip()
        claims = self._claims(token)
        granted = str(claims.get("scope", claims.get("scp", ""))).split()
        if scopes and not set(scopes) & set(granted):
            raise ForbiddenError
        matched = [scope for scope in scopes if scope in granted] or None
        return {
            "jwt": {"claims": {name: _as_text(value) for name, value in claims.items()}, "scopes": matched}
        }

    def _claims(self, token: str) -> dict[str, Any]:
        try:
            claims: dict[str, Any] = jwt.decode(
                token,
                self.public_key,
                algorithms=["RS256"],
                issuer=self.issuer,
                options={"require": ["exp", "iss"], "verify_aud": False},
            )
        except jwt.InvalidTokenError as error:
            raise UnauthorizedError from error
        # As API Gateway has it: client_id is looked at only where there is no aud.
        audience = claims.get("aud", claims.get("client_id"))
        named = set(audience) if isinstance(audience, list) else {audience}
        if not named & set(self.audience):
            raise UnauthorizedError
        return claims


def _as_text(value: Any) -> str:
    """Return a claim as API Gateway passes it on: always a string, lists in brackets without commas."""
    if isinstance(value, str):
        return value
    if isinstance(value, list):
        return f"[{' '.join(map(_as_text, value))}]"
    return json.dumps(value)
