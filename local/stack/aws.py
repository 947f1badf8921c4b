"""The one place that makes boto3 clients for the local AWS."""

import os
from dataclasses import dataclass, field
from typing import Any

import boto3
import botocore.session
from botocore.config import Config

REGION = "us-east-1"
ACCOUNT_ID = "123456789012"


# Where botocore looks for what a user has set up: nowhere.
_NO_PROFILES = {
    "profile": (None, None, None, None),
    "config_file": (None, None, os.devnull, None),
    "credentials_file": (None, None, os.devnull, None),
}


def closed_session(region: str) -> boto3.session.Session:
    """Return a session that cannot find real credentials, whatever the caller's environment holds."""
    return boto3.session.Session(
        aws_access_key_id="test",
        aws_secret_access_key="test",  # noqa: S106 - moto takes anything
        region_name=region,
        botocore_session=botocore.session.Session(session_vars=_NO_PROFILES),
    )


@dataclass(frozen=True)
class LocalAws:
    """moto's endpoint and the clients for it."""

    url: str
    region: str = REGION
    _session: Any = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Make the session all clients share, with credentials that are good for nothing."""
        object.__setattr__(self, "_session", closed_session(self.region))

    def client(self, service: str, **options: Any) -> Any:
        """Return a boto3 client of `service`; `options` are those of botocore's Config."""
        config = Config(
            connect_timeout=5, retries={"mode": "standard"}, s3={"addressing_style": "path"}, **options
        )
        return self._session.client(service, endpoint_url=self.url, config=config)
