"""What ``deploy/aws.yaml`` makes, made in a moto."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml  # type: ignore[import-untyped]  # it ships none

from pipelines_tests.servers.aws import Account
from pipelines_tests.servers.moto import running_moto
from pipelines_tests.servers.secret_keeping import new_user

TEMPLATE = Path(__file__).parents[2] / "deploy" / "aws.yaml"
ROLES = ("Platform", "Screen", "Uploader")


@dataclass(frozen=True, slots=True)
class Deployment:
    """An account in which the template was deployed.

    Attributes:
        account: of whoever deployed it: all rights, and the bucket.
        variables: what the outputs say, by the names of the variables that they are for.
        queues: the ARN of each queue, by its name in the template.
        policies: the policy of each role, by its name.
    """

    account: Account
    variables: Mapping[str, str]
    queues: Mapping[str, str]
    policies: Mapping[str, Mapping[str, Any]]

    def user(self, role: str) -> Account:
        """Someone with the policy of a role alone, where only rights count (``only_with_rights``)."""
        statements = [rule for one in self.policies[role]["Statement"] for rule in _as_moto_asks(one)]
        return new_user(self.account, role, [{**self.policies[role], "Statement": statements}])


def _as_moto_asks(statement: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """What moto has to find in a policy for what AWS allows by a statement.

    Outside S3 it does not see to what something is done. To delete many at once it asks for a right of its own.
    """
    actions = [statement["Action"]] if isinstance(statement["Action"], str) else statement["Action"]
    if all(action.startswith("s3:") for action in actions):
        yield statement
        if "s3:DeleteObject" in actions:
            buckets = sorted({resource.partition("/")[0] for resource in statement["Resource"]})
            yield {"Effect": "Allow", "Action": "s3:DeleteObject", "Resource": buckets}
    else:
        batches = ["sqs:DeleteMessageBatch"] if "sqs:DeleteMessage" in actions else []
        yield {**statement, "Action": [*actions, *batches], "Resource": "*"}


@contextmanager
def running_deployment(folder: Path) -> Iterator[Deployment]:
    """A server with what the template makes, in an account of its own."""
    with running_moto(folder) as account:
        formation = account.client("cloudformation")
        bucket = {"ParameterKey": "BucketName", "ParameterValue": "deployed"}
        formation.create_stack(StackName="pipelines", TemplateBody=TEMPLATE.read_text(), Parameters=[bucket])
        (stack,) = formation.describe_stacks(StackName="pipelines")["Stacks"]
        made = {
            one["LogicalResourceId"]: one["PhysicalResourceId"]
            for one in formation.describe_stack_resources(StackName="pipelines")["StackResources"]
            if "LogicalResourceId" in one  # not of what moto leaves out
        }
        deployed = Account(account.endpoint, account.access_key, account.secret_key, made["Bucket"])
        queues = {name: _queue_arn(account, made[name]) for name in ("Uploads", "UnreadableUploads")}
        _complete(deployed, queues["Uploads"])
        outputs = {one["Description"]: one["OutputValue"] for one in stack["Outputs"]}
        policies = {role: _policy(account, made[f"{role}Policy"]) for role in ROLES}
        yield Deployment(deployed, outputs, queues, policies)


def _complete(account: Account, queue: str) -> None:
    """What moto leaves out of a bucket in a template, in the words of S3's own interface."""
    bucket = yaml.load(TEMPLATE.read_text(), _Untagged)["Resources"]["Bucket"]["Properties"]
    rules = [
        {
            "ID": rule["Id"],
            "Status": rule["Status"],
            "Filter": {"Prefix": rule.get("Prefix", "")},
            **{name: rule[name] for name in ["AbortIncompleteMultipartUpload"] if name in rule},
            **({"Expiration": {"Days": rule["ExpirationInDays"]}} if "ExpirationInDays" in rule else {}),
        }
        for rule in bucket["LifecycleConfiguration"]["Rules"]
    ]
    told = [
        {"QueueArn": queue, "Events": [one["Event"]], "Filter": {"Key": {"FilterRules": _filters(one)}}}
        for one in bucket["NotificationConfiguration"]["QueueConfigurations"]
    ]
    s3 = account.client("s3")
    s3.put_bucket_lifecycle_configuration(Bucket=account.bucket, LifecycleConfiguration={"Rules": rules})
    s3.put_bucket_notification_configuration(
        Bucket=account.bucket, NotificationConfiguration={"QueueConfigurations": told}
    )


def _filters(told: Mapping[str, Any]) -> list[dict[str, str]]:
    rules: list[dict[str, str]] = told["Filter"]["S3Key"]["Rules"]
    return rules


def _queue_arn(account: Account, url: str) -> str:
    sqs = account.client("sqs")
    at = sqs.get_queue_url(QueueName=url.rpartition("/")[2])["QueueUrl"]
    return str(sqs.get_queue_attributes(QueueUrl=at, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"])


def _policy(account: Account, arn: str) -> Mapping[str, Any]:
    iam = account.client("iam")
    version = iam.get_policy(PolicyArn=arn)["Policy"]["DefaultVersionId"]
    document: Mapping[str, Any] = iam.get_policy_version(PolicyArn=arn, VersionId=version)["PolicyVersion"]["Document"]
    return document


class _Untagged(yaml.SafeLoader):  # type: ignore[misc]  # it ships no types
    """What a template says, its own functions left as they are written."""


_Untagged.add_multi_constructor("!", lambda _, __, node: node.value)
