"""Zoho's API versions and what differs between them."""


def version_number(version: str) -> tuple[int, int]:
    """`v2.1` -> (2, 1), so that versions compare."""
    major, _, minor = version.removeprefix("v").partition(".")
    return int(major), int(minor or 0)


def module_is_object(version: str) -> bool:
    """From v2.1 on `query.module` is `{"api_name": ...}` and a criterion has `field.api_name`."""
    return version_number(version) >= (2, 1)


def records_need_fields(version: str) -> bool:
    """From v3 on a page of records names its fields, and goes on by `page_token` after 2,000 records."""
    return version_number(version) >= (3, 0)


def has_page_token(version: str) -> bool:
    """From v7 on a Bulk Read goes on by `page_token`."""
    return version_number(version) >= (7, 0)
