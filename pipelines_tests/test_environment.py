"""The one table of URLs and settings: local by default, clear about what is wrong, silent about secrets."""

from pathlib import Path

import pytest

from pipelines.environment import Environment, ledger_password, secret


def set_variables(monkeypatch: pytest.MonkeyPatch, **variables: str) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(f"PIPELINES_{name}", value)


def test_everything_is_local_by_default(tmp_path: Path) -> None:
    environment = Environment.read()
    assert environment.home == tmp_path / ".pipelines"
    assert environment.landing == (tmp_path / ".pipelines/landing").as_uri()
    assert environment.ledger == f"sqlite:///{tmp_path}/.pipelines/ledger.db"
    assert environment.aae == "sandbox://aae"


def test_variables_set_it_and_an_empty_one_means_the_default(monkeypatch: pytest.MonkeyPatch) -> None:
    set_variables(monkeypatch, HOME="/data", AAE_CONNECTIONS="7", AAE_PACKAGES_ENABLED="false", LAKE="")
    environment = Environment.read()
    assert environment.aae_connections == 7
    assert not environment.aae_packages_enabled
    assert environment.lake == "file:///data/lake"


def test_a_feed_goes_to_its_own_destination_if_it_has_one(environment: Environment) -> None:
    own = Environment(home=environment.home, aae_packages="https://packages.example/in")
    assert environment.aae_url("packages") == "sandbox://aae"
    assert own.aae_url("packages") == "https://packages.example/in"


@pytest.mark.parametrize(
    ("variables", "said"),
    [
        (
            {"LEDGER": "postgresql://me:canary-secret@host/db"},
            "PIPELINES_LEDGER: a URL must hold no password: it stands in a variable of its own",
        ),
        ({"LEDGER": "postgresql://me:canary-secret/x@host/db"}, "PIPELINES_LEDGER: a URL must hold no password"),
        ({"LEDGER": "postgresql://me:@host/canary-secret"}, "PIPELINES_LEDGER: a URL must hold no password"),
        ({"LEDGER": "postgresql://me@host/db?password=canary-secret"}, "PIPELINES_LEDGER: a URL must hold no password"),
        ({"LEDGER": "mysql://canary-secret@host/db"}, "PIPELINES_LEDGER: a URL must hold no user"),
        (
            {"LEDGER": "mysql://canary-secret/db"},
            "PIPELINES_LEDGER: a scheme that is not known; known are sqlite, post",
        ),
        ({"LEDGER": "postgresql://me@host/db"}, "PIPELINES_AAE is the sandbox while PIPELINES_LEDGER is not local"),
        ({"AAE": "https://canary-secret@host/in"}, "PIPELINES_AAE: a URL must hold no user"),
        ({"AAE": "https://host/in?sig=canary-secret"}, "PIPELINES_AAE: a URL must hold no user"),
        ({"LANDING": "s3://bucket/in"}, "PIPELINES_AAE is the sandbox while PIPELINES_LANDING is not local"),
        ({"DRIVE": "gdrive://"}, "PIPELINES_AAE is the sandbox while PIPELINES_DRIVE is not local"),
        (
            {"DRIVE": "gdrive://", "AAE": "https://host"},
            "PIPELINES_HERE_TO_HELP is the sandbox while PIPELINES_DRIVE is not local",
        ),
        ({"LAKE": "s3://key:canary-secret@bucket"}, "PIPELINES_LAKE: a URL must hold no user"),
        ({"LAKE": "s3://bucket/a?token=canary-secret"}, "PIPELINES_LAKE: a URL must hold no user"),
        ({"LANDING": "s3://bucket/", "LAKE": "s3://bucket/lake", "AAE": "https://host"}, "must not overlap"),
        ({"LANDING": "file:///data", "LAKE": "file:///data/lake"}, "must not overlap"),
        ({"LANDING": "file:///data/lake/in", "LAKE": "file:///data/lake"}, "must not overlap"),
        (
            {"LANDING": "ftp://canary-secret/in"},
            "PIPELINES_LANDING: a scheme that is not known; known are file, memory, s3",
        ),
        ({"AAE_PAUSE_CAP": "86401"}, "PIPELINES_AAE_PAUSE_CAP: Input should be less than or equal to 86400"),
        ({"AAE_PAUSE_JITTER": "1.1"}, "PIPELINES_AAE_PAUSE_JITTER: Input should be less than or equal to 1"),
        ({"UPLOADS": "sqs://canary-secret"}, "PIPELINES_UPLOADS names a queue, which tells of what lands under s3://"),
        ({"UPLOADS_VISIBILITY_SECONDS": "39"}, "PIPELINES_UPLOADS_VISIBILITY_SECONDS must be at least two ticks"),
        ({"AAE_CONNECTIONS": "canary-secret"}, "PIPELINES_AAE_CONNECTIONS: Input should be a valid integer"),
        ({"START": "soon"}, "PIPELINES_START: "),
    ],
)
def test_what_is_wrong_is_named_without_its_value(
    monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], said: str
) -> None:
    set_variables(monkeypatch, **variables)
    with pytest.raises(ValueError, match=said) as raised:
        Environment.read()
    assert "canary-secret" not in str(raised.value)


@pytest.mark.parametrize(
    "spelling", ["https://AAE.example/in", "https://aae.example/in/", "https://aae.example:443/in"]
)
def test_one_system_has_one_name_however_it_is_spelled(spelling: str) -> None:
    """Receipts name it: under a second name all would be sent again."""
    assert Environment(aae=spelling).aae_url("packages") == "https://aae.example/in"


def test_landing_and_lake_may_be_folders_of_one_bucket() -> None:
    environment = Environment(
        landing="s3://bucket/in/",
        lake="s3://bucket/in-the-lake",
        aae="https://aae.example",
        here_to_help="https://residents.example/api",
    )
    assert (environment.landing, environment.lake) == ("s3://bucket/in", "s3://bucket/in-the-lake")


def test_the_home_of_dagster_is_the_users_own_if_there_is_one(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert Environment.read().dagster_home == tmp_path / ".pipelines/dagster"
    monkeypatch.setenv("DAGSTER_HOME", "/own")
    assert Environment.read().dagster_home == Path("/own")
    assert Environment(dagster_home=Path("/other")).dagster_home == Path("/other")


def test_the_user_of_a_database_is_no_secret_and_its_password_stands_beside_it(monkeypatch: pytest.MonkeyPatch) -> None:
    url = "postgresql://me@db.example:5433/work?sslmode=verify-full"
    set_variables(
        monkeypatch,
        LEDGER=url,
        AAE="https://aae.example/in",
        HERE_TO_HELP="https://a.example",
        LEDGER_PASSWORD="canary-secret",
    )
    assert Environment.read().ledger == url
    password = ledger_password()
    assert password is not None
    assert password.get_secret_value() == "canary-secret"
    assert "canary-secret" not in f"{password!r} {Environment.read()!r}"


def test_neighbouring_prefixes_of_one_bucket_do_not_overlap() -> None:
    Environment(landing="file:///data/land", lake="file:///data/landed")


def test_a_secret_is_read_when_it_is_asked_for_and_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    assert secret("AAE_SUBSCRIPTION_KEY") is None
    set_variables(monkeypatch, AAE_SUBSCRIPTION_KEY="common-canary")
    common = secret("AAE_PACKAGES_SUBSCRIPTION_KEY", "AAE_SUBSCRIPTION_KEY")
    assert common is not None
    assert common.get_secret_value() == "common-canary"
    assert "canary" not in repr(common)
    set_variables(monkeypatch, AAE_PACKAGES_SUBSCRIPTION_KEY="own-canary")
    own = secret("AAE_PACKAGES_SUBSCRIPTION_KEY", "AAE_SUBSCRIPTION_KEY")
    assert own is not None
    assert own.get_secret_value() == "own-canary"


def test_no_secret_is_part_of_the_settings() -> None:
    assert not [
        name for name in Environment.model_fields if "key" in name or "password" in name or "certificate" in name
    ]
