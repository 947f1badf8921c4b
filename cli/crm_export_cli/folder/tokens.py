"""What the processes of a folder share: the access tokens of a grant, and the downloads of a minute."""

import math
from datetime import datetime

from crm_export.connections.broker import SharedToken, TokenCache
from crm_export.exports.pipeline import DownloadBudget
from crm_export_cli.folder.database import Database
from crm_export_cli.folder.locks import Processes

_WINDOW_SECONDS = 60.0
_KEPT_SECONDS = 86_400.0  # a token is forgotten a day after its last use


class SqliteTokenCache(TokenCache):
    """The cache in SQLite. Times are seconds since the epoch. The lease of a dead process is void."""

    def __init__(self, database: Database, processes: Processes) -> None:
        self._database = database
        self._processes = processes

    def read(self, key: str) -> SharedToken:
        rows = self._database.rows(
            "SELECT token, usable_until, not_before FROM tokens WHERE access_key = ?", key
        )
        return SharedToken(*rows[0]) if rows else SharedToken()

    def take_lease(self, key: str, owner: str, now: float, until: float, rejected: str | None) -> bool:
        with self._database.transaction():
            self._forget(now - _KEPT_SECONDS)
            self._database.execute("INSERT OR IGNORE INTO tokens (access_key) VALUES (?)", key)
            shared = self.read(key)
            is_usable = shared.token not in {None, rejected} and shared.usable_until > now
            if is_usable or shared.not_before > now or self._is_leased(key, owner, now):
                return False
            self._database.execute(
                "UPDATE tokens SET lease_owner = ?, lease_until = ?, process = ? WHERE access_key = ?",
                owner,
                until,
                self._processes.own,
                key,
            )
        return True

    def _forget(self, before: float) -> None:
        self._database.execute(
            "DELETE FROM tokens WHERE max(usable_until, not_before, lease_until) < ?", before
        )

    def _is_leased(self, key: str, owner: str, now: float) -> bool:
        ((holder, until, process),) = self._database.rows(
            "SELECT lease_owner, lease_until, process FROM tokens WHERE access_key = ?", key
        )
        is_held = holder not in {None, owner} and until >= now
        return is_held and self._processes.is_alive(process)

    def put(self, key: str, owner: str, token: str, usable_until: float) -> None:
        self._database.execute(
            "UPDATE tokens SET token = ?, usable_until = ?, not_before = 0, lease_owner = NULL "
            "WHERE access_key = ? AND lease_owner = ?",
            token,
            usable_until,
            key,
            owner,
        )

    def give_up(self, key: str, owner: str, not_before: float) -> None:
        self._database.execute(
            "UPDATE tokens SET not_before = ?, lease_owner = NULL WHERE access_key = ? AND lease_owner = ?",
            not_before,
            key,
            owner,
        )


class SqliteDownloadBudget(DownloadBudget):
    """The times of an account's last downloads, of all processes of the folder."""

    def __init__(self, database: Database, per_minute: int) -> None:
        self._database = database
        self._per_minute = per_minute

    def take(self, account_id: str, now: datetime) -> int:
        """Take one download. Never allows more than `per_minute` downloads in any 60 seconds."""
        moment = now.timestamp()
        with self._database.transaction():
            self._database.execute(
                "DELETE FROM downloads WHERE abs(taken_at - ?) >= ?", moment, _WINDOW_SECONDS
            )
            (count, oldest) = self._database.rows(
                "SELECT count(*), min(taken_at) FROM downloads WHERE account_id = ?", account_id
            )[0]
            if count >= self._per_minute:
                return max(1, math.ceil(float(oldest) + _WINDOW_SECONDS - moment))
            self._database.execute("INSERT INTO downloads VALUES (?, ?)", account_id, moment)
        return 0
