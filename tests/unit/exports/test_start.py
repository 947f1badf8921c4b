"""The start of an export: how many may run at a time."""

import pytest

from crm_export.errors import TooManyOpenExports


def test_export_beyond_the_limit_of_its_account_is_refused(one_export):
    one_export.limit(max_open_exports=2)
    one_export.let_pass(1)
    one_export.start()
    with pytest.raises(TooManyOpenExports, match="acct-1 has 2 exports in state RUNNING") as raised:
        one_export.start()
    assert raised.value.retry_after == 60
    assert len(one_export.zoho.created) == 1


def test_export_that_ends_makes_room_for_another(one_export):
    one_export.limit(max_open_exports=1)
    with pytest.raises(TooManyOpenExports):
        one_export.start()
    one_export.fail()
    one_export.start()
    assert len(one_export.zoho.created) == 1


def test_running_exports_of_other_accounts_do_not_count(one_export):
    one_export.fail()
    one_export.create("20261122T130000Z-fedcba9876543210", account_id="acct-10")
    one_export.limit(max_open_exports=1)
    one_export.start()
    assert len(one_export.zoho.created) == 1
