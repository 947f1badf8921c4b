"""The template's policies: AWS's managed ones, and that the check of calls against permissions can fail.

The check itself runs at the end of the functional tests (tests/support/look_back.py).
"""

import pytest

from tests.support.policies import Permission, Policies, Request
from tests.support.privileges import CLOUDFORMATION, FUNCTIONS, granted, refused, used, variables_of
from tests.support.recorder import Call, requests_of

# What SAM adds to a role, with Resource "*". Only the queues' policy reaches data of ours: Lambda polls a
# queue with the function's role. A Deny statement restricts it to that queue (test_template.py).
MANAGED = {"service-role/AWSLambdaBasicExecutionRole": "logs", "AWSXrayWriteOnlyAccess": "traces"}
MANAGED_BY_QUEUE = {"service-role/AWSLambdaSQSQueueExecutionRole": "the poller of its queue, and logs"}
MANAGED_BY_VPC = {"service-role/AWSLambdaVPCAccessExecutionRole": "network interfaces, and logs"}
POLLED = {"BulkReadSubmitter", "ResultDownloader", "ParquetWriter"}
CALL_ZOHO = {"ExportHandler", "BulkReadSubmitter", "ResultDownloader"}
ENVIRONMENT = dict.fromkeys(variables_of("CallbackReceiver"), "x") | {
    "DOWNLOAD_QUEUE_URL": "http://127.0.0.1:1/123456789012/download",
    "CALLBACK_SECRET_ID": "arn:aws:secretsmanager:us-east-1:123456789012:secret:callback-a1B2c3",
    "POWERTOOLS_LOG_LEVEL": "INFO",
}
KEY = {"pk": {"S": "EXPORT#1"}, "sk": {"S": "META"}}
TOKEN = {"pk": {"S": "TOKEN#1"}, "sk": {"S": "TOKEN"}}
QUEUE = ENVIRONMENT["DOWNLOAD_QUEUE_URL"]
ALLOWED = [
    ("sqs", "SendMessage", {"QueueUrl": QUEUE, "MessageBody": "x"}),
    ("secretsmanager", "GetSecretValue", {"SecretId": ENVIRONMENT["CALLBACK_SECRET_ID"]}),
]


KEY_ARN = "arn:aws:kms:us-east-1:123456789012:key/1"
EVERYTHING = {
    "TokenStore": "mongo",
    "MongoUriSecretArn": "arn:aws:secretsmanager:us-east-1:123456789012:secret:mongo",
    "SecretsKmsKeyArn": KEY_ARN,
    "KmsKeyArn": KEY_ARN,
}
BUCKET, FOLDER = "results", "exports/account_id=acct-1/module=Contacts/export_id=1"
# What ResultsBucket and ObjectWriter call.
LATEST = "syncs/account_id=acct-1/module=Contacts/latest.json"
STORAGE = [
    ("s3", "CreateMultipartUpload", {"Bucket": BUCKET, "Key": f"{FOLDER}/part-00001.csv"}),
    ("s3", "UploadPart", {"Bucket": BUCKET, "Key": f"{FOLDER}/part-00001.csv"}),
    ("s3", "CompleteMultipartUpload", {"Bucket": BUCKET, "Key": f"{FOLDER}/part-00001.csv"}),
    ("s3", "PutObject", {"Bucket": BUCKET, "Key": f"{FOLDER}/manifest.json"}),
    ("s3", "AbortMultipartUpload", {"Bucket": BUCKET, "Key": f"{FOLDER}/part-00001.csv"}),
    ("s3", "DeleteObject", {"Bucket": BUCKET, "Key": f"{FOLDER}/part-00001.csv"}),
    ("s3", "HeadObject", {"Bucket": BUCKET, "Key": f"{FOLDER}/part-00001.csv"}),
    ("s3", "GetObject", {"Bucket": BUCKET, "Key": f"{FOLDER}/manifest.json"}),
    ("s3", "ListObjectsV2", {"Bucket": BUCKET, "Prefix": f"{FOLDER}/manifest.json", "MaxKeys": 1}),
    ("s3", "ListObjectsV2", {"Bucket": BUCKET, "Prefix": f"{FOLDER}/"}),
    ("s3", "ListMultipartUploads", {"Bucket": BUCKET, "Prefix": f"{FOLDER}/"}),
    ("s3", "GetObject", {"Bucket": BUCKET, "Key": LATEST}),
    ("s3", "PutObject", {"Bucket": BUCKET, "Key": LATEST}),
]


def calls_of(*operations, function="CallbackReceiver", **more) -> set[Call]:
    environment = tuple(sorted((ENVIRONMENT | more).items()))
    return {
        Call(function, environment, request)
        for operation in operations
        for request in requests_of(*operation)
    }


def own_calls(permissions):
    """Leave out those on keys of KMS, which other services use for the function."""
    return {item for item in permissions if not item[2].startswith("kms:")}


@pytest.mark.parametrize("function", FUNCTIONS)
def test_role_has_only_the_managed_policies_that_sam_adds(function: str):
    arns = CLOUDFORMATION["Resources"][f"{function}Role"]["Properties"]["ManagedPolicyArns"]
    names = {arn.partition(":policy/")[2] for arn in arns if isinstance(arn, str)}
    by_queue = set(MANAGED_BY_QUEUE) if function in POLLED else set()
    by_vpc = set(MANAGED_BY_VPC) if function in CALL_ZOHO else set()
    assert names == set(MANAGED) | by_queue | by_vpc
    ours = [arn for arn in arns if not isinstance(arn, str)]
    shared = [{"Ref": "CallZohoPolicy"}] if function in CALL_ZOHO else []
    of_key = {"Fn::If": ["HasKmsKey", {"Ref": "UseKmsKeyPolicy"}, {"Ref": "AWS::NoValue"}]}
    assert ours == [*shared, of_key]


def test_allowed_calls_use_every_permission_of_the_callback_receiver():
    assert refused(calls_of(*ALLOWED)) == []
    assert used(calls_of(*ALLOWED)) == own_calls(granted("CallbackReceiver"))


def test_storage_of_results_uses_every_permission_of_the_downloader_on_the_bucket():
    environment = dict.fromkeys(variables_of("ResultDownloader"), "x") | {"RESULTS_BUCKET": BUCKET}
    calls = calls_of(*STORAGE, function="ResultDownloader", **environment)
    assert refused(calls) == []
    assert used(calls) == {item for item in granted("ResultDownloader") if item[2].startswith("s3:")}


@pytest.mark.parametrize(
    ("operation", "params"),
    [
        ("PutObject", {"Key": "other/x"}),
        ("GetObject", {"Key": "other/x"}),
        ("ListObjectsV2", {}),
        ("ListObjectsV2", {"Prefix": "other/"}),
        ("ListMultipartUploads", {"Bucket": "another"}),
    ],
)
def test_downloader_may_not_use_anything_but_exports(operation, params):
    environment = dict.fromkeys(variables_of("ResultDownloader"), "x") | {"RESULTS_BUCKET": BUCKET}
    calls = calls_of(
        ("s3", operation, {"Bucket": BUCKET, **params}), function="ResultDownloader", **environment
    )
    assert len(refused(calls)) == 1


def test_prefix_is_a_condition_key_of_listing_objects_but_not_of_listing_uploads():
    """https://docs.aws.amazon.com/service-authorization/latest/reference/list_amazons3.html"""
    params = {"Bucket": BUCKET, "Prefix": f"{FOLDER}/"}
    assert requests_of("s3", "ListObjectsV2", params)[0].context == (("s3:prefix", (f"{FOLDER}/",)),)
    assert requests_of("s3", "ListMultipartUploads", params)[0].context == ()


@pytest.mark.parametrize("left_out", range(len(ALLOWED)))
def test_permission_without_a_call_is_not_used(left_out):
    calls = calls_of(*[call for index, call in enumerate(ALLOWED) if index != left_out])
    ((function, _, action, _),) = own_calls(granted("CallbackReceiver")) - used(calls)
    service, operation, _ = ALLOWED[left_out]
    assert (function, action) == ("CallbackReceiver", f"{service}:{operation}")


@pytest.mark.parametrize(
    ("service", "operation", "params"),
    [
        ("dynamodb", "UpdateItem", {"TableName": "exports", "Key": KEY}),
        ("dynamodb", "GetItem", {"TableName": "exports", "Key": KEY}),
        ("sqs", "SendMessage", {"QueueUrl": QUEUE + "2", "MessageBody": "x"}),
        ("sqs", "ChangeMessageVisibility", {"QueueUrl": QUEUE}),
        ("secretsmanager", "GetSecretValue", {"SecretId": "zoho-crm-export/connections/a/b"}),
        ("s3", "GetObject", {"Bucket": "b", "Key": "exports/x"}),
    ],
)
def test_call_without_a_permission_is_refused(service, operation, params):
    assert len(refused(calls_of((service, operation, params)))) == 1


BOTH = {"RequestItems": {"exports": {"Keys": [KEY, {**KEY, "sk": {"S": "PART#00001"}}]}}}
WRITE = {"TransactItems": [{"Put": {"TableName": "exports", "Item": {**KEY, "x": {"N": "1"}}}}]}


@pytest.mark.parametrize(
    ("operation", "params"),
    [
        ("UpdateItem", {"TableName": "exports", "Key": KEY}),
        ("BatchGetItem", BOTH),
        ("TransactWriteItems", WRITE),
    ],
)
def test_downloader_may_use_the_items_of_exports(operation, params):
    assert refused_for_downloader(operation, params) == []


@pytest.mark.parametrize(
    ("operation", "params"),
    [
        ("DeleteItem", {"TableName": "exports", "Key": KEY}),
        ("UpdateItem", {"TableName": "exports", "Key": {**KEY, "pk": {"S": "IDEMPOTENCY#1"}}}),
        ("UpdateItem", {"TableName": "exports2", "Key": KEY}),
        ("BatchGetItem", {"RequestItems": {"exports": {"Keys": [KEY, TOKEN]}}}),
        ("TransactWriteItems", {"TransactItems": [{"Delete": {"TableName": "exports", "Key": KEY}}]}),
    ],
)
def test_downloader_may_not_use_other_items_or_tables_or_delete(operation, params):
    assert len(refused_for_downloader(operation, params)) == 1


def refused_for_downloader(operation, params):
    environment = dict.fromkeys(variables_of("ResultDownloader"), "x") | {"EXPORTS_TABLE": "exports"}
    return refused(calls_of(("dynamodb", operation, params), function="ResultDownloader", **environment))


def test_operation_without_an_entry_fails():
    with pytest.raises(
        AssertionError, match="s3 PutBucketAcl has no entry in tests.support.recorder._REQUESTS"
    ):
        requests_of("s3", "PutBucketAcl", {})


@pytest.mark.parametrize(
    ("pattern", "value", "fits"),
    [
        ("arn:x/*", "arn:x/a/b", True),
        ("arn:x/*", "arn:x", False),
        ("arn:x/a", "arn:x/A", False),
        ("arn:x[1]", "arn:x1", False),
        ("*", "anything", True),
    ],
)
def test_resource_pattern_matches_as_in_iam(pattern, value, fits):
    assert Permission("S", "s3:GetObject", pattern).allows(Request("S3:getobject", value)) is fits


@pytest.mark.parametrize("parameters", [{}, EVERYTHING], ids=["defaults", "everything"])
@pytest.mark.parametrize("function", FUNCTIONS)
def test_policies_resolve_to_every_permission_granted(function, parameters):
    values = {value["Ref"]: "https://x/y" for value in variables_of(function).values() if "Ref" in value}
    defaults = {"TokenStore": "secretsmanager", "MongoUriSecretArn": "", "ConnectionPrefix": ""}
    permissions = Policies(CLOUDFORMATION, {**values, **defaults, **parameters}).permissions(function)
    resolved = {(function, item.sid, item.action, item.written) for item in permissions}
    optional = {"ReadMongoUri", "DecryptConnections", "UseKmsKey"}
    by_default = {item for item in granted(function) if item[1] not in optional}
    assert resolved == (granted(function) if parameters else by_default)


@pytest.mark.parametrize("function", sorted(CALL_ZOHO))
@pytest.mark.parametrize("given", ["", "acme/zoho"], ids=["default", "given"])
def test_function_reads_connections_only_below_its_own_prefix(function, given):
    values = {value["Ref"]: "x/y" for value in variables_of(function).values() if "Ref" in value}
    policies = Policies(CLOUDFORMATION, {**values, "ConnectionPrefix": given})
    prefix = given or "zoho-crm-export/connections"  # of the stack of that name
    arn = "arn:aws:secretsmanager:us-east-1:123456789012:secret"
    of_connections = {item.resource for item in policies.permissions(function) if "Connections" in item.sid}
    assert of_connections == {f"{arn}:{prefix}/*", "*"}  # ListSecrets supports no resources


def test_events_are_put_only_on_the_default_bus_and_from_our_source():
    environment = dict.fromkeys(variables_of("ExportReconciler"), "x")
    event = {"Source": "zoho-crm-export", "DetailType": "Export Failed", "Detail": "{}"}
    allowed = calls_of(
        ("events", "PutEvents", {"Entries": [event]}), function="ExportReconciler", **environment
    )
    assert refused(allowed) == []
    for change in ({"Source": "aws.s3"}, {"EventBusName": "other"}):
        call = ("events", "PutEvents", {"Entries": [event | change]})
        assert len(refused(calls_of(call, function="ExportReconciler", **environment))) == 1
