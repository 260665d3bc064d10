from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.domains.residents.calls import (
    AddNote,
    Cases,
    CreateCase,
    CreateRequest,
    Done,
    Gone,
    ListCases,
    Made,
    ReadRequest,
    Refused,
)
from pipelines.domains.residents.effects import is_parked, learn, next_step
from pipelines.domains.residents.feeds import FEEDS
from pipelines.domains.residents.feeds.contract import Feed
from pipelines.domains.residents.progress import Kind, Plan, Standing, begin, plan_row
from pipelines.domains.residents.replies import Case, HelpRequest
from pipelines_tests.domains.residents.api_model import Api, Fault, send
from pipelines_tests.domains.residents.people import (
    CONTACT_TRACING,
    GENERIC,
    NSSS,
    SELF_ISOLATION,
    SPL,
    cells,
    mapped,
)

ALL = pytest.mark.parametrize("feed", FEEDS.values(), ids=FEEDS)
LOST = [fault for fault in Fault if fault is not Fault.NONE]
comments = st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=10).map(str.strip)
JUNK = ["{broken", "[1, 2]", '["x"]', "null", '{"note": "of somebody else", "author": "Ada"}']


def planned(feed: Feed, **changes: str) -> Plan:
    return plan_row(feed, mapped(feed, changes))


NOTED = {
    "contact_tracing": {"Comments": 'said "later",\nthen hung up'},
    "nsss": {},
    "spl": {"DateOfDeath": "21-02-2021"},
    "self_isolation": {"Day 4 Outcome": "ok", "Comments": 'a "b", \\c'},
    "generic": {"Case Note 2": "2", "Case Note 4": "4, 5"},
}


@pytest.mark.parametrize(
    ("feed", "calls"),
    [
        (CONTACT_TRACING, "CreateRequest"),
        (NSSS, "CreateRequest ReadRequest AddNote"),
        (SPL, "CreateRequest ReadRequest AddNote"),
        (SELF_ISOLATION, "CreateRequest ReadRequest AddNote AddNote ListCases CreateCase AddNote"),
        (GENERIC, "CreateRequest ReadRequest AddNote AddNote AddNote"),
    ],
)
def test_calls_are_made_in_the_order_of_the_reference(feed: Feed, calls: str) -> None:
    api = Api()
    progress = send(planned(feed, **NOTED[feed.name]), api)
    assert api.calls == calls.split()
    assert set(progress.standings) == {Standing.DONE}


@ALL
def test_a_row_that_was_sent_needs_nothing(feed: Feed) -> None:
    api, plan = Api(), planned(feed, **NOTED[feed.name])
    progress = send(plan, api)
    assert next_step(plan, progress) is None
    ids = {"resident": progress.resident, "request": progress.request, "case": progress.case}
    known = {effect.name: Standing.DONE for effect in plan.effects}
    assert next_step(plan, begin(plan, known, **ids)) is None


@ALL
@given(faults=st.lists(st.sampled_from(Fault), max_size=12), junk=st.lists(st.sampled_from(JUNK), max_size=3))
def test_whatever_is_lost_and_whenever_it_is_killed_the_api_ends_as_if_nothing_had_happened(
    feed: Feed, faults: list[Fault], junk: list[str]
) -> None:
    """Nothing lost, nothing twice; what others wrote meanwhile does not hide it."""
    plan = planned(feed, **NOTED[feed.name])
    calm, rough = Api(), Api()
    for api in (calm, rough):
        before = planned(feed, **dict.fromkeys(NOTED[feed.name], ""))
        send(before, api)
        api.requests[0].notes[:] = junk
    send(plan, calm)
    progress = send(plan, rough, faults)
    assert rough.requests == calm.requests
    assert rough.residents == calm.residents
    assert set(progress.standings) <= {Standing.DONE, Standing.THERE}


@given(
    faults=st.lists(st.sampled_from(Fault), max_size=8),
    texts=st.lists(comments, min_size=4, max_size=4),
)
def test_notes_of_any_text_are_stored_once(faults: list[Fault], texts: list[str]) -> None:
    plan = planned(GENERIC, **{f"Case Note {number}": text for number, text in enumerate(texts, 1)})
    calm, rough = Api(), Api()
    send(plan, calm)
    send(plan, rough, faults)
    assert rough.requests == calm.requests
    assert len(rough.requests[0].notes) == len({text for text in texts if text})


@given(faults=st.lists(st.sampled_from(Fault), max_size=6), comment=comments)
def test_a_comment_of_any_text_is_stored_once(faults: list[Fault], comment: str) -> None:
    api = Api()
    send(planned(CONTACT_TRACING, Comments=comment), api, faults)
    assert api.requests[0].notes == ([comment] if comment else [])


@pytest.mark.parametrize("fault", LOST)
@ALL
def test_each_call_may_go_wrong_in_each_way(feed: Feed, fault: Fault) -> None:
    plan = planned(feed, **NOTED[feed.name])
    calm = Api()
    send(plan, calm)
    for place in range(len(calm.calls)):
        rough = Api()
        send(plan, rough, [Fault.NONE] * place + [fault])
        assert rough.requests == calm.requests


@pytest.mark.parametrize(
    ("fault", "carried", "last"),
    [(Fault.LOST_BEFORE, [False], "AddNote"), (Fault.LOST_AFTER, [True, False], "ReadRequest")],
)
def test_a_repeat_never_carries_the_note(fault: Fault, carried: list[bool], last: str) -> None:
    """The decision: find or create, read, and add the note only if it is absent."""
    api = Api()
    send(planned(CONTACT_TRACING, Comments="call"), api, [fault])
    assert ["CaseNotes" in arrived for arrived in api.sent] == carried
    assert api.calls[-1] == last
    assert api.requests[0].notes == ["call"]


def test_without_a_comment_nothing_is_read_after_a_lost_answer() -> None:
    api = Api()
    send(planned(CONTACT_TRACING), api, [Fault.LOST_AFTER])
    assert api.calls == ["CreateRequest"] * 2


KEYLESS = {
    "contact_tracing": {"Account ID": ""},
    "nsss": {"ID": ""},
    "spl": {"Traced_NHSNUMBER": ""},
    "self_isolation": {"ID": ""},
    "generic": {"d.o.b": "", "Email": "", "UPRN": ""},
}


@pytest.mark.parametrize("fault", [fault for fault in LOST if fault is not Fault.KILLED_RECORDED])
@ALL
def test_a_request_that_the_api_would_not_recognise_is_never_repeated(feed: Feed, fault: Fault) -> None:
    """Parked and told, by decision; the generic one has a key, and two phone numbers by which nobody is found again."""
    api, plan = Api(), planned(feed, **KEYLESS[feed.name])
    progress = send(plan, api, [fault])
    assert is_parked(plan, progress)
    assert api.calls.count("CreateRequest") == (fault is Fault.LOST_AFTER)
    assert progress.standings[0] is Standing.UNKNOWN


@ALL
def test_without_a_key_a_row_is_sent_like_any_other(feed: Feed) -> None:
    api, plan = Api(), planned(feed, **KEYLESS[feed.name])
    progress = send(plan, api)
    assert not is_parked(plan, progress)
    assert set(progress.standings) == {Standing.DONE}


def test_notes_that_are_there_are_not_added() -> None:
    api = Api()
    for _ in range(3):
        progress = send(planned(GENERIC, **NOTED["generic"]), api)
    assert len(api.requests[0].notes) == 3
    assert progress.standings == (Standing.DONE, *[Standing.THERE] * 3)


def test_an_edited_comment_is_added_and_an_old_one_is_not_repeated() -> None:
    """The reference adds the comment at every call."""
    api = Api()
    first = send(planned(CONTACT_TRACING, Comments="call"), api)
    for comment, standing in (
        ("call", Standing.UNKNOWN),
        ("call again, soon", Standing.OPEN),
        ("call", Standing.UNKNOWN),
        ("soon", Standing.OPEN),
    ):
        plan = planned(CONTACT_TRACING, Comments=comment, Email="new@sample.test")
        send(plan, api, earlier=first.request, known={"note 1": standing})
    assert api.requests[0].notes == ["call", "call again, soon", "soon"]


def test_the_address_is_left_out_for_a_known_resident_whose_postcode_is_unchanged() -> None:
    """With it the API would take the house number for the whole address."""
    api = Api()
    first = send(planned(CONTACT_TRACING, Postcode="E9 5HX"), api)
    for postcode, is_sent in (("e95hx", False), ("E8 1AA", True), ("e8 1aa", False)):
        progress = send(planned(CONTACT_TRACING, Postcode=postcode), api, earlier=first.request)
        assert ("Postcode" in api.sent[-1]) is ("AddressFirstLine" in api.sent[-1]) is is_sent
        assert progress.address_left_out is not is_sent


def test_a_feed_with_whole_addresses_reads_nothing_before_it_sends() -> None:
    api = Api()
    first = send(planned(NSSS), api)
    send(planned(NSSS, first_name="Wilma"), api, earlier=first.request)
    assert api.calls[3:] == ["CreateRequest", "ReadRequest"]
    assert "Postcode" in api.sent[-1]


def test_an_earlier_request_that_is_gone_counts_as_none() -> None:
    plan = planned(CONTACT_TRACING, Comments="call")
    progress = begin(plan, earlier=7)
    step = next_step(plan, progress)
    assert step == ReadRequest(7)
    step = next_step(plan, learn(plan, progress, step, Gone()))
    assert isinstance(step, CreateRequest)
    assert step.payload["CaseNotes"] == "call"
    assert step.payload["Postcode"] == "E95HX"


def test_a_refused_request_ends_its_row_and_a_refused_note_does_not() -> None:
    plan = planned(GENERIC, **NOTED["generic"])
    progress = begin(plan)
    step = next_step(plan, progress)
    assert isinstance(step, CreateRequest)
    assert next_step(plan, learn(plan, progress, step, Refused())) is None
    progress = learn(plan, progress, step, Made(5))
    progress = learn(plan, progress, ReadRequest(5), HelpRequest(5, 6))
    step = next_step(plan, progress)
    assert isinstance(step, AddNote)
    progress = learn(plan, progress, step, Refused())
    again = next_step(plan, progress)
    assert isinstance(again, AddNote)
    assert (again.resident, again.request, again.author) == (6, 5, "Data Ingestion: Generic Ingestion")
    assert again.text != step.text


def test_a_refused_case_gets_no_note() -> None:
    plan = planned(SELF_ISOLATION)
    progress = begin(plan, {"request": Standing.DONE}, request=5, resident=6)
    step = next_step(plan, progress)
    assert step is not None
    progress = learn(plan, progress, step, Cases(()))
    step = next_step(plan, progress)
    assert isinstance(step, CreateCase)
    assert step.payload == {"CallbackRequired": False, "HelpNeeded": "Shielding"}
    assert next_step(plan, learn(plan, progress, step, Refused())) is None


def test_a_resident_with_a_shielding_case_gets_no_second_one() -> None:
    api = Api()
    send(planned(SPL, Traced_NHSNUMBER="4010232137"), api)
    progress = send(planned(SELF_ISOLATION), api)
    assert [one.help_needed for one in api.requests] == ["Shielding", "Welfare Call"]
    assert progress.case is None
    assert progress.standings[-2:] == (Standing.THERE, Standing.THERE)


def test_a_case_that_may_have_been_made_is_the_newest_of_its_kind() -> None:
    """There was none when it was asked for, so an older one is somebody else's only if it came in between."""
    plan = planned(SELF_ISOLATION)
    progress = begin(plan, {"request": Standing.DONE, "case": Standing.UNKNOWN}, request=5, resident=6)
    step = next_step(plan, progress)
    assert step == ListCases(6)
    there = (Case(5, "Welfare Call"), Case(9, "Shielding"), Case(7, "Shielding"), Case(11, "EUSS"))
    progress = learn(plan, progress, step, Cases(there))
    assert progress.case == 9
    step = next_step(plan, progress)
    assert isinstance(step, AddNote)
    assert (step.request, step.author) == (9, "Data Ingestion: Self Isolation")


def test_notes_are_looked_for_in_the_request_that_was_found_not_in_the_earlier_one() -> None:
    plan = planned(CONTACT_TRACING, Comments="call")
    progress = begin(plan, earlier=7)
    step = next_step(plan, progress)
    assert step == ReadRequest(7)
    progress = learn(plan, progress, step, HelpRequest(7, 6, "[call]"))
    step = next_step(plan, progress)
    assert isinstance(step, CreateRequest)
    progress = learn(plan, progress, step, Made(8))
    assert next_step(plan, progress) == ReadRequest(8)
    progress = learn(plan, progress, ReadRequest(8), HelpRequest(8, 6, "[]"))
    assert isinstance(next_step(plan, progress), AddNote)


@pytest.mark.parametrize("standing", [Standing.OPEN, Standing.UNKNOWN])
def test_a_read_without_an_answer_is_needed_still(standing: Standing) -> None:
    plan = planned(NSSS)
    progress = begin(plan, {"request": Standing.DONE, "note 1": standing}, request=5)
    step = next_step(plan, progress)
    assert step == ReadRequest(5)
    for answer in (Refused(), Gone()):
        assert next_step(plan, learn(plan, progress, step, answer)) == step


def test_an_answer_to_another_call_is_an_error() -> None:
    plan = planned(NSSS)
    progress = begin(plan)
    step = next_step(plan, progress)
    assert step is not None
    with pytest.raises(ValueError, match="Done is no answer to CreateRequest"):
        learn(plan, progress, step, Done())


def test_what_is_done_has_an_id() -> None:
    plan = planned(SELF_ISOLATION)
    with pytest.raises(ValueError, match="the request is done and has no id"):
        begin(plan, {"request": Standing.DONE})
    with pytest.raises(ValueError, match="the case is done and has no id"):
        begin(plan, {"request": Standing.DONE, "case": Standing.DONE}, request=1)


@ALL
def test_effects_have_names_of_their_own_that_hold_nothing_of_the_row(feed: Feed) -> None:
    plan = planned(feed, **NOTED[feed.name])
    names = [effect.name for effect in plan.effects]
    assert len(set(names)) == len(names)
    assert names[0] == "request"
    words = {word for name in names for word in name.split() if not word.isdigit()}
    assert words <= {word for kind in Kind for word in kind.split()}
    values = [value for value in cells(feed).values() if len(value) > 4]
    step = next_step(plan, begin(plan))
    assert not any(value in repr(plan.effects) + repr(step) for value in values)
