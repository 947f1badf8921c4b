"""The records API: deleted records of a module.

https://www.zoho.com/crm/developer/docs/api/v8/get-deleted-records.html
"""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from hashlib import blake2b
from http import HTTPStatus

from zoho_simulator.config import SimulatorConfig
from zoho_simulator.data.catalog import WITHOUT_COUNT
from zoho_simulator.data.modules import Module, current_user
from zoho_simulator.errors import ZohoError
from zoho_simulator.records.query import page_info, parse_paging, pattern_not_matched
from zoho_simulator.records.records_api import RecordsApi, modified_since
from zoho_simulator.tokens import Call
from zoho_simulator.wire import Json, Response, json_response

_DAY = 86_400


@dataclass
class DeletedApi:
    """The deleted records of an organisation, within Zoho's retention."""

    _config: SimulatorConfig
    _clock: Callable[[], float]
    _records: RecordsApi
    _passes: Counter[str] = field(default_factory=Counter)  # first pages read so far, by module

    def page(self, call: Call, name: str) -> Response:
        """GET /crm/{v}/{Module}/deleted: 204 if there are none, 304 if none was deleted since."""
        module = self._records.module(call.grant, name)
        if name in WITHOUT_COUNT:
            raise ZohoError("INVALID_MODULE", {"resource_path_index": 0})
        kind = call.request.query.get("type", "all")
        if kind not in ("all", "recycle", "permanent"):
            raise pattern_not_matched("type")
        page, per_page = parse_paging(self._config, call.request.query)
        self._passes[name] += page == 1
        rows = [row for row in self._rows(module) if kind in ("all", row["type"])]
        since = modified_since(call.request)
        if since is not None:
            rows = [row for row in rows if datetime.fromisoformat(row["deleted_time"]).timestamp() > since]
            if not rows:
                return Response(HTTPStatus.NOT_MODIFIED)
        start = (page - 1) * per_page
        shown = rows[start : start + per_page]
        if not shown:
            return Response(HTTPStatus.NO_CONTENT)
        info = page_info(page, per_page, len(shown), more=start + len(shown) < len(rows))
        return json_response(HTTPStatus.OK, {"data": shown, "info": info})

    def _rows(self, module: Module) -> list[Json]:
        """Return the records deleted at run time, then the configured ones, every third of them permanent."""
        changed, now = self._records.changes.of(module.name), self._clock()
        deleted = reversed(list(changed.deleted.items()))
        rows = [
            self._shown(module, row, (row, moment), is_permanent=row in changed.purged)
            for row, moment in deleted
        ]
        for index in range(self._config.deleted.get(module.name, 0)):
            # Ids below those of living records: such a record can never be read.
            place = -1000 - index, now - 3600 * (index + 1)
            rows.append(self._shown(module, index, place, is_permanent=index % 3 == 2))
        listed = [row for row in rows if row is not None]
        match self._config.deleted_order:
            case "any":
                return sorted(listed, key=_scattered(0))
            case "random":
                return sorted(listed, key=_scattered(self._passes[module.name]))
            case _:
                return listed

    def _shown(
        self, module: Module, number: int, place: tuple[int, float], *, is_permanent: bool
    ) -> Json | None:
        """Return a deleted record as Zoho lists it, or None if Zoho does not list it any more."""
        index, moment = place
        days = (self._clock() - moment) / _DAY
        if days > self._config.permanent_days:
            return None
        row = {
            "deleted_by": current_user(),
            "id": str(module.id_base + index),
            "display_name": f"Deleted {number}",
            "type": "recycle",
            "created_by": current_user(),
            "deleted_time": self._records.changes.shown(moment),
        }
        if is_permanent or days > self._config.recycle_days:
            unknown = {"created_by": None, "display_name": None, "deleted_by": None}
            return {**row, "type": "permanent", **unknown}
        return row


def _scattered(salt: int) -> Callable[[Json], bytes]:
    return lambda row: blake2b(f"{salt}/{row['id']}".encode(), digest_size=8).digest()
