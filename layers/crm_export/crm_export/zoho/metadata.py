"""What Zoho tells of a connection's modules and fields: a help for checks, never a precondition.

Used by functions/bulk_read_submitter while it reads a request.
"""

import time
from collections.abc import Callable

from crm_export import deadline
from crm_export.errors import (
    StoreUnavailable,
    ZohoClientRejected,
    ZohoError,
    ZohoNotFound,
    ZohoPermissionDenied,
    ZohoQueryRefused,
)
from crm_export.observability import logger
from crm_export.zoho.client import ZohoClient
from crm_export.zoho.fields import Field, get_fields
from crm_export.zoho.modules import get_modules

# For all that one request asks of metadata, too short for a second try: of API Gateway's 30, creating the
# job needs the rest.
_SECONDS = 5.0


class Metadata:
    """Answers None for what cannot be known: no scope, no such module, or Zoho does not answer soon.

    Raises TokenInvalidated and ZohoClientRejected: then no export can be made either.
    """

    def __init__(self, client: ZohoClient, version: str) -> None:
        self._client = client
        self._version = version
        self._until = time.monotonic() + _SECONDS
        self._unknown: set[str] = set()  # what was asked for in vain

    def modules(self) -> list[str] | None:
        """The API names of all modules."""
        return self._ask("modules", lambda: get_modules(self._client, self._version))

    def data_type(self, module: str, name: str) -> str | None:
        """The data type of a field, `Amount`, or of a looked up record's, `Account_Name.Phone`."""
        *lookups, last = name.split(".")
        for lookup in lookups:
            field = self._field(module, lookup)
            if field is None or field.data_type != "lookup" or field.lookup_module is None:
                return None
            module = field.lookup_module
        field = self._field(module, last)
        return None if field is None else field.data_type

    def _field(self, module: str, name: str) -> Field | None:
        fields = self._ask(f"fields of {module}", lambda: get_fields(self._client, self._version, module))
        return next((field for field in fields or [] if field.api_name == name), None)

    def _ask[T](self, what: str, read: Callable[[], T]) -> T | None:
        left = min(self._until - time.monotonic(), deadline.remaining())
        if left <= 0 or what in self._unknown:
            return None
        try:
            with deadline.ends_in(left):
                return read()
        except ZohoClientRejected:
            raise
        except (ZohoError, StoreUnavailable) as error:
            logger.info("metadata not read", what=what, code=error.code)
            self._unknown.add(what)
            if not isinstance(error, ZohoPermissionDenied | ZohoQueryRefused | ZohoNotFound):
                self._until = 0.0  # Zoho is busy or away: it is not asked again for this request
            return None
