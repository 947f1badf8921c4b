"""`lake ddl` of a stack, over a fake of an operator's AWS."""

import pytest

from crm_export_cli.exits import CliError, Exit
from crm_export_cli.lake import ddl_of_stack
from crm_export_cli.stack.backend import StackBackend
from crm_export_cli.stack.functions import deployed_stack
from tests.support.operator_aws import OperatorAws, succeeded


def view(number, module="Price_Books"):
    folder = f"account_id=acct-1/module={module}/export_id=2024010{number}T000000Z-0000000000000001"
    return {"manifest_key": f"exports/{folder}/manifest.json"}


def ddl_key(number):
    return view(number)["manifest_key"].replace("exports/", "lake/", 1).replace("manifest.json", "ddl.sql")


def backend_over(aws):
    stack = deployed_stack("zoho-crm-export", aws.client)
    return StackBackend(stack, ("acct-1", "user-1"), lambda seconds: None)


def test_ddl_is_that_of_the_newest_export_of_the_module_in_the_lake():
    views = [{"manifest_key": None}, view(4, "Deals"), view(3), view(2), view(1)]
    aws = OperatorAws(succeeded(views))
    aws.objects = {ddl_key(2): b"CREATE 2", ddl_key(1): b"CREATE 1"}
    assert ddl_of_stack(backend_over(aws), "price-books") == (ddl_key(2), "CREATE 2")


def test_module_without_parquet_is_an_error_with_the_parameter_to_set():
    with pytest.raises(CliError) as raised:
        ddl_of_stack(backend_over(OperatorAws(succeeded([view(1)]))), "price-books")
    assert (raised.value.code, "LakeOutput" in raised.value.remedy) == ("NOT_IN_LAKE", True)


def test_operator_who_may_not_read_the_lake_is_not_allowed():
    aws = OperatorAws(succeeded([view(1)]), refuses={"s3:GetObject"})
    with pytest.raises(CliError) as raised:
        ddl_of_stack(backend_over(aws), "price-books")
    assert (raised.value.code, raised.value.exit_code) == ("AWS_REFUSED", Exit.NOT_CONNECTED)
