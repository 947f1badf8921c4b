"""AWS as an operator of one stack sees it: CloudFormation, Lambda and SQS, with every call recorded."""

import io
import json

from botocore.exceptions import ClientError

REGION, ACCOUNT = "eu-central-1", "123456789012"
PARAMETERS = {"JwtIssuer": "https://issuer.example.com/", "JwtAudience": "api", "AccountConcurrency": "1000"}


class OperatorAws:
    """An account with one stack, `zoho-crm-export`; `answers` are the functions' responses, in order.

    missing: logical ids that the stack lacks. refuses: actions that IAM refuses. calls: (action, ARN).
    """

    def __init__(self, *answers, missing=(), refuses=(), parameters=None, status="UPDATE_COMPLETE"):
        self.answers, self.missing, self.refuses = list(answers), missing, refuses
        self.parameters = PARAMETERS | (parameters or {})
        self.status = status
        self.events, self.calls = [], []
        self.concurrency, self.dead_letters = 1000, 0
        self.logs, self.log_requests = {}, []  # lines by function
        self.objects = {}  # of the results bucket, by key

    def client(self, service, config):
        return self

    def _called(self, action, arn):
        self.calls.append((action, arn))
        if action in self.refuses:
            operation = action.partition(":")[2]
            raise ClientError({"Error": {"Code": "AccessDenied", "Message": "no"}}, operation)

    def _stack(self, action, name):
        self._called(action, f"arn:aws:cloudformation:{REGION}:{ACCOUNT}:stack/{name}/0c1d")

    def describe_stacks(self, StackName):  # noqa: N803
        self._stack("cloudformation:DescribeStacks", StackName)
        outputs = [{"OutputKey": "ApiUrl", "OutputValue": "https://api.example.com"}]
        parameters = [
            {"ParameterKey": name, "ParameterValue": value} for name, value in self.parameters.items()
        ]
        return {"Stacks": [{"Outputs": outputs, "Parameters": parameters, "StackStatus": self.status}]}

    def describe_stack_resources(self, StackName, LogicalResourceId):  # noqa: N803
        self._stack("cloudformation:DescribeStackResources", StackName)
        if LogicalResourceId in self.missing:
            raise ClientError({"Error": {"Code": "ValidationError"}}, "DescribeStackResources")
        name = f"{StackName}-{LogicalResourceId}-1X"
        if LogicalResourceId.endswith("LogGroup"):
            name = f"/aws/lambda/{StackName}-{LogicalResourceId.removesuffix('LogGroup')}"
        is_queue = LogicalResourceId.endswith("Queue")
        url = f"https://sqs.{REGION}.amazonaws.com/{ACCOUNT}/{name}"
        return {"StackResources": [{"PhysicalResourceId": url if is_queue else name}]}

    def invoke(self, FunctionName, Payload=b"", InvocationType="RequestResponse"):  # noqa: N803
        arn = f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:{FunctionName}"
        self._called("lambda:InvokeFunction", arn)
        if InvocationType == "DryRun":
            return {"StatusCode": 204}
        self.events.append((FunctionName.split("-")[-2], json.loads(Payload)["operator"]))
        answer = self.answers.pop(0)
        if answer is None:
            return {"FunctionError": "Unhandled", "Payload": io.BytesIO(b'{"errorMessage": "x"}')}
        body = answer if isinstance(answer, str) else json.dumps(answer)
        return {"Payload": io.BytesIO(json.dumps({"body": body}).encode())}

    def get_object(self, Bucket, Key):  # noqa: N803
        self._called("s3:GetObject", f"arn:aws:s3:::{Bucket.lower()}/{Key}")
        if Key not in self.objects:  # S3 says so only to those who may list the bucket
            self._called("s3:ListBucket", f"arn:aws:s3:::{Bucket.lower()}")
            raise ClientError({"Error": {"Code": "NoSuchKey"}}, "GetObject")
        return {"Body": io.BytesIO(self.objects[Key])}

    def get_account_settings(self):
        self._called("lambda:GetAccountSettings", "*")
        return {"AccountLimit": {"ConcurrentExecutions": self.concurrency}}

    def get_paginator(self, operation):
        assert operation == "filter_log_events"
        return self

    def paginate(self, **request):
        group = request["logGroupName"]
        self._called("logs:FilterLogEvents", f"arn:aws:logs:{REGION}:{ACCOUNT}:log-group:{group}")
        self.log_requests.append(request)
        for text in self.logs.get(group.rpartition("-")[2], []):
            yield {"events": [{"message": text}]}

    def get_queue_attributes(self, QueueUrl, AttributeNames):  # noqa: N803
        name = QueueUrl.rpartition("/")[2]
        self._called("sqs:GetQueueAttributes", f"arn:aws:sqs:{REGION}:{ACCOUNT}:{name}")
        return {"Attributes": {AttributeNames[0]: str(self.dead_letters)}}


def succeeded(data, token=None):
    """Return the API's response with these data."""
    return {"success": True, "data": data, "pagination": {"next_page_token": token}}
