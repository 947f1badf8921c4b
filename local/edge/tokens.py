"""JWTs: issued as the identity provider would, and verified as an API Gateway JWT authorizer does."""

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import rsa
from werkzeug.exceptions import Forbidden, Unauthorized

ISSUER = "https://issuer.local.invalid"
AUDIENCE = "zoho-crm-export-local"
TWELVE_HOURS = 12 * 3600


class TokenIssuer:
    """An identity provider with its own key pair, which is new for every stack."""

    def __init__(self, issuer: str = ISSUER, audience: str = AUDIENCE) -> None:
        """Generate the key pair; `issuer` and `audience` are the template's parameters."""
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
        """Return a JWT for `owner` of `account`. `claims` add to its claims or replace them."""
        now = int(time.time())
        payload = {
            "iss": self._issuer,
            "aud": self._audience,
            "sub": owner,
            "iat": now,
            "exp": now + expires_in,
            "account_id": account,
            "uid": owner,
            **(claims or {}),
        }
        return jwt.encode(payload, self._key, algorithm="RS256", headers={"kid": "local"})


@dataclass(frozen=True)
class Authorizer:
    """A JWT authorizer of an HTTP API."""

    issuer: str
    audience: tuple[str, ...]
    public_key: rsa.RSAPublicKey
    header: str = "authorization"

    def authorize(self, headers: Mapping[str, str], scopes: Sequence[str]) -> dict[str, Any]:
        """Return `requestContext.authorizer`. Raises Unauthorized, or Forbidden for a missing scope."""
        token = headers.get(self.header, "").strip()
        if token.lower().startswith("bearer "):
            token = token[7:].strip()
        claims = self._claims(token)
        granted = str(claims.get("scope", claims.get("scp", ""))).split()
        matched = [scope for scope in scopes if scope in granted]
        if scopes and not matched:
            raise Forbidden
        strings = {name: _as_string(value) for name, value in claims.items()}
        return {"jwt": {"claims": strings, "scopes": matched or None}}

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
            raise Unauthorized from error
        # Like API Gateway, use client_id only if there is no aud.
        audience = claims.get("aud", claims.get("client_id"))
        named = set(audience) if isinstance(audience, list) else {audience}
        if not named & set(self.audience):
            raise Unauthorized
        return claims


def _as_string(value: Any) -> str:
    """Return a claim as API Gateway passes it on: a string, with lists in brackets without commas."""
    if isinstance(value, str):
        return value
    if isinstance(value, list):
        return f"[{' '.join(map(_as_string, value))}]"
    return json.dumps(value)
