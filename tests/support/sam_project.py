"""A SAM project of a few lines, whose function behaves as its event asks."""

from pathlib import Path

from local.cloudformation.resources import Function

_HANDLER = """
import os, sys, time
from shared import WORD
print("loaded")
def lambda_handler(event, context):
    print("handling", context.aws_request_id)
    do = event.get("do", "echo")
    if do == "raise":
        raise ValueError("as asked")
    if do == "exit":
        os._exit(3)
    if do == "sleep":
        time.sleep(event.get("seconds", 30))
    if do == "grow":
        bytearray(80 << 20)
    if do == "huge":
        return "x" * (7 << 20)
    return {
        "event": event, "word": WORD, "pid": os.getpid(), "cwd": os.getcwd(), "path": sys.path,
        "environment": dict(os.environ), "left_ms": context.get_remaining_time_in_millis(),
        "arn": context.invoked_function_arn,
    }
"""

_TEMPLATE = """
AWSTemplateFormatVersion: "2010-09-09"
Transform: AWS::Serverless-2016-10-31
Parameters:
  JwtIssuer: {Type: String, Default: https://nobody.invalid, AllowedPattern: "^https://.+$"}
  Flavour: {Type: String, Default: plain, AllowedValues: [plain, spicy]}
  Size: {Type: Number, Default: 3, MinValue: 1, MaxValue: 9}
  Needed: {Type: String}
Conditions:
  Spicy: !Equals [!Ref Flavour, spicy]
Resources:
  Shared:
    Type: AWS::Serverless::LayerVersion
    Properties: {ContentUri: layers/shared/}
    Metadata: {BuildMethod: python3.13}
  Api:
    Type: AWS::Serverless::HttpApi
    Properties:
      Auth:
        DefaultAuthorizer: Jwt
        Authorizers:
          Jwt:
            IdentitySource: $request.header.Authorization
            JwtConfiguration: {issuer: !Ref JwtIssuer, audience: [api]}
  Worker:
    Type: AWS::Serverless::Function
    Properties:
      Runtime: python3.13
      Handler: app.lambda_handler
      CodeUri: functions/worker/
      Timeout: 5
      MemorySize: 256
      Layers: [!Ref Shared]
      Environment:
        Variables: {QUEUE: !Ref Work, SECRET: !Ref Secret, SIZE: !Ref Size, SECRET_NAME: !Sub "is ${Secret}"}
      Events:
        Get: {Type: HttpApi, Properties: {ApiId: !Ref Api, Method: GET, Path: "/things/{id}"}}
        Hook:
          Type: HttpApi
          Properties: {ApiId: !Ref Api, Method: POST, Path: /hook, Auth: {Authorizer: NONE}}
        Work:
          Type: SQS
          Properties:
            Queue: !GetAtt Work.Arn
            BatchSize: 4
            FunctionResponseTypes: [ReportBatchItemFailures]
            ScalingConfig: {MaximumConcurrency: 3}
        Tick: {Type: ScheduleV2, Properties: {ScheduleExpression: rate(2 minutes)}}
  Work: {Type: AWS::SQS::Queue}
  Secret:
    Type: AWS::SecretsManager::Secret
    Properties: {GenerateSecretString: {SecretStringTemplate: '{"user": "me"}', GenerateStringKey: password}}
  Given:
    Type: AWS::SecretsManager::Secret
    Properties: {SecretString: !Sub '{"needed": "${Needed}"}'}
  Extra: {Type: AWS::SecretsManager::Secret, Condition: Spicy, Properties: {SecretString: hot}}
  Bucket: {Type: AWS::S3::Bucket}
  Alarm:
    Type: AWS::CloudWatch::Alarm
    Properties:
      Namespace: AWS/SQS
      MetricName: ApproximateNumberOfMessagesVisible
      Dimensions: [{Name: QueueName, Value: !GetAtt Work.QueueName}]
      Statistic: Maximum
      Period: 300
      EvaluationPeriods: 1
      Threshold: 0
      ComparisonOperator: GreaterThanThreshold
Outputs:
  ApiUrl: {Value: !Sub "https://${Api}.example"}
  BucketName: {Value: !Ref Bucket}
"""


def write_project(folder: Path) -> Path:
    """Write the template, the function and the layer into `folder`, and return it."""
    for path, content in (
        ("functions/worker/app.py", _HANDLER),
        ("layers/shared/shared.py", "WORD = 'from the layer'\n"),
        ("template.yaml", _TEMPLATE),
    ):
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(content)
    return folder


def worker_of(project: Path) -> Function:
    """Return the project's function, without a deployment."""
    return Function(
        logical_id="Worker",
        name="stack-Worker-1",
        arn="arn:aws:lambda:us-east-1:123456789012:function:stack-Worker-1",
        handler="app.lambda_handler",
        memory_mb=256,
        timeout=5,
        environment={"COLOUR": "green"},
        folder=project / "functions/worker",
        layers=[project / "layers/shared"],
    )
