"""moto as its own process: what it would get wrong of DynamoDB under concurrency."""

from threading import Thread

import pytest
from botocore.exceptions import ClientError

from local.stack.aws import LocalAws
from local.stack.processes import Child

pytestmark = pytest.mark.process


@pytest.fixture(scope="module")
def dynamodb(tmp_path_factory):
    moto = Child("local.stack.aws_server", log=tmp_path_factory.mktemp("aws") / "aws.log")
    try:
        client = LocalAws(moto.wait_for_url()).client("dynamodb")
        client.create_table(
            TableName="t",
            BillingMode="PAY_PER_REQUEST",
            AttributeDefinitions=[{"AttributeName": "pk", "AttributeType": "S"}],
            KeySchema=[{"AttributeName": "pk", "KeyType": "HASH"}],
        )
        yield client
    finally:
        moto.stop()


def test_an_acknowledged_write_is_never_lost_to_a_failing_transaction(dynamodb):
    def fail():
        put = {"TableName": "t", "Item": {"pk": {"S": "x"}}, "ConditionExpression": "attribute_exists(pk)"}
        for _ in range(100):
            with pytest.raises(ClientError):
                dynamodb.transact_write_items(TransactItems=[{"Put": put}])

    thread = Thread(target=fail)
    thread.start()
    for _ in range(200):
        dynamodb.update_item(
            TableName="t",
            Key={"pk": {"S": "n"}},
            UpdateExpression="ADD n :one",
            ExpressionAttributeValues={":one": {"N": "1"}},
        )
    thread.join()
    assert dynamodb.get_item(TableName="t", Key={"pk": {"S": "n"}})["Item"]["n"]["N"] == "200"
