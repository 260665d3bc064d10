"""The whole platform while something outside is out of order: what is due waits, and is then done once."""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from click.testing import CliRunner

from pipelines import sensors
from pipelines.adapters.objects import ObjectMissing, s3
from pipelines.cli import main
from pipelines.core.retry import RetryPolicy
from pipelines.core.work import State
from pipelines.environment import Environment
from pipelines.sandbox.aae import Aae
from pipelines_tests.adapters.test_object_s3 import Role
from pipelines_tests.platforms import Platform, an_hour_ago, outside
from pipelines_tests.servers.aws import NOBODY, Account, variables
from pipelines_tests.servers.disturbed import (
    Answer,
    Asked,
    Disturbed,
    Forward,
    Meddling,
    cutting,
    disturbed,
    from_the,
    refusing,
    untouched,
)
from pipelines_tests.servers.queues import DeadLettered, notification

pytestmark = pytest.mark.slow

ATTEMPTS = 2
SOON = timedelta(milliseconds=5)
PACKAGES = ("a.jsonl", "b.jsonl", "c.jsonl")
EVENTS = ("a.json", "b.json")
OBJECTS = len(PACKAGES) + len(EVENTS)


@pytest.fixture(autouse=True)
def _in_our_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """The store is asked again at once; what is tried again, or asked for again after a failure, is when we say so."""
    monkeypatch.setitem(s3.RETRIES, "max_retries", 2)
    monkeypatch.setitem(s3.RETRIES, "backoff", {"init_backoff": SOON, "max_backoff": SOON})
    monkeypatch.setattr(RetryPolicy, "pause", lambda *_: timedelta(days=1))
    monkeypatch.setattr(sensors, "pause_after_failures", lambda *_: None)


@pytest.fixture
def way(seaweedfs: Account) -> Iterator[Disturbed]:
    with disturbed(seaweedfs.endpoint) as way:
        yield way


@pytest.fixture
def account(seaweedfs: Account, way: Disturbed) -> Iterator[Account]:
    with seaweedfs.at(way.endpoint).in_use() as account:
        yield account


@pytest.fixture
def aae(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Aae]:
    with outside(tmp_path / "outside") as (sandbox, told):
        for name, value in told.items():
            monkeypatch.setenv(name, value)
        yield sandbox.aae


@pytest.fixture
def platform(account: Account, way: Disturbed, aae: Aae, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Platform:
    """Landing and lake on S3, with files landed, of which nothing is known yet."""
    monkeypatch.setenv("PIPELINES_HOME", str(tmp_path / "home"))
    for name in ("MOBILE", "AAE"):
        monkeypatch.setenv(f"PIPELINES_{name}_ATTEMPTS", str(ATTEMPTS))
    for name in ("landing", "lake"):
        monkeypatch.setenv(f"PIPELINES_{name.upper()}", f"s3://{account.bucket}/{tmp_path.name}/{name}")
    platform = Platform(Environment.read(), aae, an_hour_ago())
    for name in PACKAGES:
        platform.land_packages(name, bad=1)
    for name in EVENTS:
        platform.land_events(name)
    way.asked.clear()
    return platform


def states(platform: Platform) -> Counter[State]:
    queues = ("mobile/packages", "mobile/events", "aae/packages", "aae/events")
    return Counter(item.state for queue in queues for item in platform.items(queue))


def assert_done_once(platform: Platform) -> None:
    assert states(platform) == {State.SETTLED: 2 * OBJECTS}
    assert len(platform.kept()) == OBJECTS
    assert set(platform.kept().values()) == {1}
    with platform.ledger() as ledger:
        assert {one.state for queue in ledger.queues() for one in ledger.standings(queue)} <= {
            State.SETTLED,
            State.SUPERSEDED,
        }


def settle_again(platform: Platform, times: int = 1) -> list[bool]:
    """Whatever waits for another attempt has one, so many times."""
    made = []
    for _ in range(times):
        with platform.ledger():  # it is there
            pass
        with sqlite3.connect(platform.environment.home / "ledger.db") as ledger:
            ledger.execute("UPDATE work SET due_at = changed_at WHERE state = 'pending'")
        ledger.close()
        made += [ran.success for ran in platform.settle()]
    return made


def failing(method: str, place: str, meddling: Meddling) -> Meddling:
    """Does it to requests of this kind alone."""

    def some(asked: Asked, forward: Forward) -> Answer:
        chosen = asked.method == method and place in asked.path
        return meddling(asked, forward) if chosen else forward(asked)

    return some


FAULTS: dict[str, Meddling] = {
    "error": refusing(500, "InternalError"),
    "slow down": refusing(503, "SlowDown"),
    "denied": refusing(403, "AccessDenied"),
    "bucket gone": refusing(404, "NoSuchBucket"),
    "no listing": failing("GET", "list-type", refusing(503, "SlowDown")),
    "listing cut": failing("GET", "list-type", cutting),
    "landing not read": failing("GET", "landing/mobile", refusing(500, "InternalError")),
    "reading cut": failing("GET", "landing/mobile", cutting),
    "nothing published": failing("PUT", "lake/mobile", refusing(503, "SlowDown")),
    "nothing set apart": failing("PUT", "landing/quarantine", refusing(403, "AccessDenied")),
    "lake not read": failing("GET", "lake/mobile", refusing(503, "SlowDown")),
    "no receipts": failing("PUT", "lake/aae", refusing(500, "InternalError")),
    "no tables": failing("PUT", "events_table", refusing(503, "SlowDown")),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_while_a_store_is_out_of_order_what_is_due_waits_and_is_then_done_once(
    platform: Platform, way: Disturbed, fault: str
) -> None:
    """However long: nothing is given up for it, taken for absent, or done by halves."""
    platform.settle(mobile_packages_enabled=False, mobile_events_enabled=False)  # the mapping is in force
    way.meddle = FAULTS[fault]
    settle_again(platform, ATTEMPTS + 2)
    assert states(platform)[State.DEAD] == 0
    with platform.ledger() as ledger:
        assert any(one.state is not State.SETTLED for queue in ledger.queues() for one in ledger.standings(queue)), (
            "nothing came of the fault"
        )
    way.meddle = untouched
    settle_again(platform)
    assert_done_once(platform)


@pytest.mark.parametrize("status", [(500, "InternalError"), (503, "SlowDown")])
def test_a_store_that_refuses_everything_once_costs_nothing(
    platform: Platform, way: Disturbed, status: tuple[int, str]
) -> None:
    refuse, refused = refusing(*status), set[tuple[str, str]]()

    def once(asked: Asked, forward: Forward) -> Answer:
        if (asked.method, asked.path) in refused:
            return forward(asked)
        refused.add((asked.method, asked.path))
        return refuse(asked, forward)

    way.meddle = once
    assert all(ran.success for ran in platform.settle())
    assert len(refused) > 5 * OBJECTS
    assert_done_once(platform)


def test_with_a_wrong_secret_all_waits_for_the_right_one(platform: Platform, account: Account) -> None:
    platform.settle(mobile_packages_enabled=False, mobile_events_enabled=False)
    with account.in_use(AWS_SECRET_ACCESS_KEY="canary"):
        result = CliRunner().invoke(main, ["settle"])
        assert result.exit_code == 1
        assert "403" in result.output
        assert "canary" not in result.output
        assert "Traceback" not in result.output
        assert not all(settle_again(platform, ATTEMPTS + 1))
    assert states(platform)[State.DEAD] == 0
    settle_again(platform)
    assert_done_once(platform)


# Credentials


@pytest.fixture
def role(platform: Platform, way: Disturbed, tmp_path: Path) -> Iterator[Role]:
    role = Role(tmp_path, way.endpoint)
    role.give("pipelines", timedelta(minutes=9))
    way.meddle = role.check
    with variables(NOBODY | role.variables):
        yield role


@pytest.mark.parametrize("at", [20, 50, 80])
def test_credentials_that_expire_in_a_run_are_replaced_in_it(
    platform: Platform, role: Role, way: Disturbed, at: int
) -> None:
    """AWS gives the next ones some minutes ahead: by the time that the old ones expire, the new ones are in use."""
    asked_by: Counter[str] = Counter()

    def rotate(asked: Asked, forward: Forward) -> Answer:
        asked_by["the next" if "pipelines-next" in asked.headers["Authorization"] else "the old"] += 1
        if asked_by.total() == at:
            role.give("pipelines-next", timedelta(minutes=9))
        if asked_by["the next"] == 5:
            role.expired.add("pipelines")
        return role.check(asked, forward)

    way.meddle = rotate
    assert all(ran.success for ran in platform.settle())
    assert asked_by["the old"] >= at
    assert asked_by["the next"] > 5
    assert_done_once(platform)


@pytest.mark.parametrize("at", [1, 40, 80])
def test_credentials_that_expire_without_others_stop_all_until_there_are_some(
    platform: Platform, role: Role, way: Disturbed, at: int
) -> None:
    def expire(asked: Asked, forward: Forward) -> Answer:
        role.expired.add("pipelines")
        way.meddle = role.check
        return role.check(asked, forward)

    way.meddle = from_the(at, expire, times=1)
    settle_again(platform, ATTEMPTS + 1)
    assert states(platform)[State.DEAD] == 0
    role.give("pipelines-next", timedelta(minutes=9))
    settle_again(platform)
    assert_done_once(platform)


# The queue


def test_without_its_queue_all_is_found_by_listing_and_the_failure_is_one_line(
    platform: Platform, moto: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PIPELINES_UPLOADS", "sqs://there-is-none")
    monkeypatch.setenv("AWS_ENDPOINT_URL_SQS", moto.endpoint)
    results = [CliRunner().invoke(main, ["settle"]) for _ in range(2)]
    assert [result.exit_code for result in results] == [1, 1]
    for result in results:
        failed = [line for line in result.output.splitlines() if line.startswith("mobile_packages_uploaded: failed")]
        assert len(failed) == 1
        assert "the queue refused: " in failed[0]
    assert "Traceback" not in results[-1].output
    assert_done_once(platform)


def test_ten_messages_of_each_file_in_any_order_and_of_files_that_are_gone_are_one_delivery_each(
    platform: Platform, moto: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL_SQS", moto.endpoint)
    queue = DeadLettered.make()
    bucket, _, root = platform.landing.url.removeprefix("s3://").partition("/")
    keys = [info.key for info in platform.landing.list("mobile/")]
    gone = keys[0].replace("a.json", "gone.json")
    with pytest.raises(ObjectMissing):
        platform.landing.head(gone)
    told = [f"{root}/{key}" for key in (gone, *keys)]
    bodies = [notification(bucket, key) for key in told * 10]
    queue.send(bodies[::-7] + bodies[::3] + bodies)
    assert all(ran.success for ran in platform.settle(uploads=queue.url))
    queue.send(bodies)
    assert platform.settle(uploads=queue.url) == []
    assert queue.held() == 0
    assert_done_once(platform)
