"""Zoho's API versions and what differs between them."""

from dataclasses import dataclass


def version_number(version: str) -> tuple[int, int]:
    """`v2.1` -> (2, 1), so that versions compare."""
    major, _, minor = version.removeprefix("v").partition(".")
    return int(major), int(minor or 0)


def records_need_fields(version: str) -> bool:
    """From v3 on a page of records names its fields, and goes on by `page_token` after 2,000 records."""
    return version_number(version) >= (3, 0)


@dataclass(frozen=True)
class BulkReadFormat:
    """How a version writes a Bulk Read query."""

    objects: bool  # `module` and a criterion's `field` are {"api_name": ...}; else `module` and `api_name`
    criterion_type: bool  # a criterion may say `"type": "value"`
    page_token: bool  # goes on by `page_token`, and a result tells `next_page_token`; else by `page`


_TEXTS = BulkReadFormat(objects=False, criterion_type=False, page_token=False)
_OBJECTS = BulkReadFormat(objects=True, criterion_type=False, page_token=False)
_TOKENS = BulkReadFormat(objects=True, criterion_type=True, page_token=True)
# https://www.zoho.com/crm/developer/docs/api/v8/bulk-read/create-job.html, and v2 to v7 beside it
BULK_READ = {
    "v2": _TEXTS,
    "v2.1": _OBJECTS,
    "v3": _OBJECTS,
    "v4": _OBJECTS,
    "v5": _OBJECTS,
    "v6": _OBJECTS,
    "v7": _TOKENS,
    "v8": _TOKENS,
}


def has_page_token(version: str) -> bool:
    """Whether a Bulk Read of the version goes on by `page_token`."""
    return BULK_READ[version].page_token
