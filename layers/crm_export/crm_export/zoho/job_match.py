"""Is a job that a callback named the one we would have made? Called by exports/download before it is taken.

In doubt it is not: another job costs 50 credits, a wrong one somebody else's records.
"""

from datetime import datetime, timedelta
from typing import Any

from crm_export.zoho.bulk_read import Job

_CLOCKS_DIFFER = timedelta(minutes=5)


def is_job_for(job: Job, module: str, query: dict[str, Any], page: int, *, not_before: str) -> bool:
    """Whether Zoho says of the job that it reads this page of this query, and was made since (ISO 8601)."""
    told = job.query
    return (
        job.module == module
        and told.get("page") == page
        and (told.get("fields") or None) == (query.get("fields") or None)
        and told.get("cvid") == query.get("cvid")
        and _criteria(told.get("criteria")) == _criteria(query.get("criteria"))
        and _made_since(job.created_time, not_before)
    )


def _criteria(criteria: Any) -> Any:
    """Criteria without what Zoho adds: ids of fields, and v7's own criterion of converted leads."""
    if not isinstance(criteria, dict):
        return None
    if isinstance(criteria.get("group"), list):
        group = [one for one in map(_criteria, criteria["group"]) if one is not None]
        return group[0] if len(group) == 1 else (str(criteria.get("group_operator")).lower(), group)
    field = criteria.get("field", criteria)
    name = field.get("api_name") if isinstance(field, dict) else None
    if name == "$converted" and isinstance(field, dict) and "id" in field and field["id"] is None:
        return None
    return name, criteria.get("comparator"), _plain(criteria.get("value"))


def _plain(value: Any) -> Any:
    if isinstance(value, list):
        return [_plain(item) for item in value]
    return str(value).lower() if isinstance(value, bool) else str(value)


def _made_since(created_time: str | None, not_before: str) -> bool:
    try:
        made, moment = datetime.fromisoformat(created_time or ""), datetime.fromisoformat(not_before)
    except ValueError:
        return False
    return made.tzinfo is not None and made >= moment - _CLOCKS_DIFFER
