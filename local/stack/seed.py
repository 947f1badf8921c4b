"""The connection a new stack starts with: account `acct-1`, owner `user-1`, as the simulator knows it."""

import json

from local.stack.aws import LocalAws

ACCOUNT, OWNER = "acct-1", "user-1"
CLIENT_ID, CLIENT_SECRET, REFRESH_TOKEN = "1000.LOCAL", "local-secret", "1000.local.refresh"  # noqa: S105


def seed_connection(aws: LocalAws, prefix: str, zoho_url: str) -> str:
    """Store the connection where the functions look for it; returns the secret's name."""
    name = f"{prefix}/{ACCOUNT}/{OWNER}"
    connection = {
        "account_id": ACCOUNT,
        "owner": OWNER,
        "token": {"refresh_token": REFRESH_TOKEN, "api_domain": zoho_url, "accounts_server": zoho_url},
        "token_invalidated": False,
    }
    aws.client("secretsmanager").create_secret(Name=name, SecretString=json.dumps(connection))
    return name
