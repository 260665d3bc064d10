from __future__ import annotations

import pytest

from pipelines.domains.residents.calls import Made, Refused
from pipelines.domains.residents.dates import BadDay
from pipelines.domains.residents.effects import learn, next_step
from pipelines.domains.residents.faults import Oddity, Reject, Rejected, Skip, Skipped, Warned
from pipelines.domains.residents.outcomes import Outcome, Result, tell_duplicate, tell_sent, tell_unsent
from pipelines.domains.residents.progress import Plan, Progress, Standing, begin, plan_row
from pipelines_tests.domains.residents.api_model import Api, Fault, send
from pipelines_tests.domains.residents.people import (
    CONTACT_TRACING,
    GENERIC,
    NSSS,
    SELF_ISOLATION,
    mapped,
)


def refused(plan: Plan, progress: Progress) -> Progress:
    step = next_step(plan, progress)
    assert step is not None
    return learn(plan, progress, step, Refused())


@pytest.mark.parametrize(
    ("verdict", "outcome"),
    [
        (Skipped(Skip.BLANK), Outcome(Result.SKIPPED, "blank row", passed=False)),
        (Rejected(BadDay.IMPOSSIBLE, "d.o.b"), Outcome(Result.REJECTED, "d.o.b: no such day")),
        (
            Rejected(BadDay.SERIAL, "Date Tested", filtered=True),
            Outcome(Result.REJECTED, "Date Tested: a number instead of a date", passed=False),
        ),
        (Rejected(Reject.UNIDENTIFIABLE), Outcome(Result.REJECTED, "not enough to identify a person")),
    ],
)
def test_what_is_not_sent_says_why(verdict: Skipped | Rejected, outcome: Outcome) -> None:
    assert tell_unsent(verdict) == outcome


def test_what_is_sent_tells_its_ids_and_warnings() -> None:
    plan = plan_row(NSSS, mapped(NSSS))
    outcome = tell_sent(plan, send(plan, Api()))
    warnings = (Warned(Oddity.NHS_NUMBER, "nhs_number"), Warned(Oddity.ADDRESS))
    assert outcome == Outcome(Result.SENT, "", warnings, True, 1, 1, None)


def test_what_was_sent_before_says_so() -> None:
    plan = plan_row(NSSS, mapped(NSSS))
    assert tell_sent(plan, send(plan, Api()), unchanged=True).result is Result.UNCHANGED


def test_a_row_that_is_not_all_sent_waits_until_it_is_given_up() -> None:
    plan = plan_row(NSSS, mapped(NSSS))
    progress = begin(plan, {"request": Standing.DONE}, request=4)
    assert tell_sent(plan, progress).result is Result.WAITING
    assert tell_sent(plan, progress, unchanged=True).result is Result.WAITING
    outcome = tell_sent(plan, progress, given_up=True, words="server error")
    assert (outcome.result, outcome.reason, outcome.request) == (Result.GIVEN_UP, "server error", 4)


def test_a_refused_row_is_rejected_in_the_apis_words_as_far_as_they_are_known() -> None:
    plan = plan_row(NSSS, mapped(NSSS))
    progress = refused(plan, begin(plan))
    outcome = tell_sent(plan, progress, words="NhsNumber")
    assert (outcome.result, outcome.reason) == (Result.REJECTED, "refused by the API: NhsNumber")
    assert tell_sent(plan, progress).reason == "refused by the API"


def test_a_refused_note_is_said_of_a_row_that_was_sent() -> None:
    plan = plan_row(GENERIC, mapped(GENERIC))
    progress = begin(plan, {"request": Standing.DONE, "note 1": Standing.REFUSED}, request=4, resident=2)
    outcome = tell_sent(plan, progress)
    assert (outcome.result, outcome.reason) == (Result.SENT, "a note was refused by the API")


def test_a_refused_case_is_said_of_a_row_that_was_sent() -> None:
    plan = plan_row(SELF_ISOLATION, mapped(SELF_ISOLATION))
    progress = begin(plan, {"request": Standing.DONE, "case": Standing.REFUSED}, request=4, resident=2)
    outcome = tell_sent(plan, progress)
    assert (outcome.result, outcome.reason) == (Result.SENT, "the extra case was refused by the API")


def test_a_row_that_only_a_person_can_tell_of_is_unknown() -> None:
    plan = plan_row(NSSS, mapped(NSSS, {"ID": ""}))
    outcome = tell_sent(plan, send(plan, Api(), [Fault.LOST_AFTER]))
    assert (outcome.result, outcome.reason) == (Result.UNKNOWN, "no answer, and no id to ask again by")


def test_one_that_can_be_asked_for_again_waits() -> None:
    plan = plan_row(NSSS, mapped(NSSS))
    assert tell_sent(plan, begin(plan, {"request": Standing.UNKNOWN})).result is Result.WAITING


def test_an_address_that_was_kept_is_said_instead_of_one_that_is_lost() -> None:
    """The wipe of UPRN and further lines is the one fault that is kept, and told."""
    plan = plan_row(CONTACT_TRACING, mapped(CONTACT_TRACING, {"NHS Number": ""}))
    api = Api()
    first = send(plan, api)
    assert tell_sent(plan, first).warnings == (Warned(Oddity.ADDRESS),)
    second = send(plan, api, earlier=first.request)
    assert tell_sent(plan, second).warnings == (Warned(Oddity.ADDRESS_KEPT),)


def test_a_duplicate_names_the_earlier_row_and_has_its_ids() -> None:
    plan = plan_row(NSSS, mapped(NSSS))
    step = next_step(plan, begin(plan))
    assert step is not None
    first = tell_sent(plan, learn(plan, begin(plan), step, Made(9)))
    outcome = tell_duplicate(2, (), first)
    assert (outcome.result, outcome.reason, outcome.request) == (Result.DUPLICATE, "the same as row 2", 9)
