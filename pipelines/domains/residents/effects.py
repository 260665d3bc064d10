"""Which call a row needs next, and what an answer means for it: nothing lost, nothing twice.

Calls are made in the order of the reference: request, read, notes, list of cases, case, its note. A call whose answer
is lost may have had its effect: the request is repeated without its note, since the API finds it by its key; a note or
a case is looked for before it is repeated. Whoever sends records each effect as unknown before its call, and after a
lost answer waits until the call must be over before the next one.

Here: decisions. Not here: calls, retries, the ledger.
"""

from __future__ import annotations

from msgspec.structs import replace

from pipelines.domains.residents.calls import (
    AddNote,
    Answer,
    Cases,
    CreateCase,
    CreateRequest,
    Done,
    Gone,
    ListCases,
    Made,
    ReadRequest,
    Refused,
    Step,
)
from pipelines.domains.residents.feeds.contract import ExtraCase
from pipelines.domains.residents.matching import are_strangers
from pipelines.domains.residents.notes import has_note
from pipelines.domains.residents.progress import ASKED_FOR, Effect, Kind, Plan, Progress, Standing
from pipelines.domains.residents.replies import Case, HelpRequest
from pipelines.domains.residents.rows import Payload

_ADDRESS = ("AddressFirstLine", "Postcode")
"""The API replaces the resident's whole address if it gets both."""


def next_step(plan: Plan, progress: Progress) -> Step | None:
    """The call that the row needs next; None if nothing is to be done, or nothing may be."""
    standing = progress.standings[0]
    if standing in ASKED_FOR:
        return _next_for_request(plan, progress)
    if standing is Standing.REFUSED or progress.request is None or progress.is_anothers:
        return None
    return _next_for_notes(plan, progress, progress.request) or _next_for_case(plan, progress)


def is_parked(plan: Plan, progress: Progress) -> bool:
    """Whether the request may be there, and a repeat might make a second one, or a second resident."""
    return progress.standings[0] is Standing.UNKNOWN and not plan.is_repeatable


def learn(plan: Plan, progress: Progress, step: Step, answer: Answer) -> Progress:
    """How far the row is once a call was answered. A read that is refused is needed still.

    Raises:
        ValueError: no such call has such an answer.
    """
    match step, answer:
        case CreateRequest(), Made(made):
            after = _learn_request(plan, progress, step, made)
        case ReadRequest(), HelpRequest():
            after = _learn_read(plan, progress, answer)
        case ReadRequest(), Gone():
            after = replace(progress, earlier=None) if step.request == progress.earlier else progress
        case AddNote(), Done():
            after = replace(progress, standings=progress.mark(Standing.DONE, *step.effects))
        case ListCases(), Cases():
            after = _learn_cases(plan, progress, answer)
        case CreateCase(), Made(made):
            after = replace(progress, standings=progress.mark(Standing.DONE, *step.effects), case=made)
        case _, Refused():
            after = replace(progress, standings=progress.mark(Standing.REFUSED, *step.effects))
        case _:
            raise ValueError(f"{type(answer).__name__} is no answer to {type(step).__name__}")
    return after


def _next_for_request(plan: Plan, progress: Progress) -> Step | None:
    if is_parked(plan, progress):
        return None
    payload = dict(plan.row.payload)
    if not plan.feed.has_whole_address and all(name in payload for name in _ADDRESS) and progress.earlier is not None:
        if progress.seen is None:
            return ReadRequest(progress.earlier)
        if _is_at_home(payload, progress.seen):
            payload = {name: value for name, value in payload.items() if name not in _ADDRESS}
    effects: tuple[int, ...] = (0,)
    note = plan.find(Kind.NOTE)
    if plan.feed.note_in_request and note is not None and _is_untried(progress, note):
        payload["CaseNotes"] = plan.effects[note].text
        effects = (0, note)
    return CreateRequest(payload, effects)


def _is_untried(progress: Progress, note: int) -> bool:
    """Whether no request can have brought the note: neither this one, tried before, nor one of an earlier version."""
    return progress.standings[0] is progress.standings[note] is Standing.OPEN and progress.earlier is None


def _next_for_notes(plan: Plan, progress: Progress, request: int) -> Step | None:
    waiting = [
        place
        for place, effect in enumerate(plan.effects)
        if effect.kind is Kind.NOTE and progress.standings[place] in ASKED_FOR
    ]
    # What is known to be an earlier request may be another person's: whose it is has to be read.
    is_known = progress.earlier is not None
    tells_ids = not plan.feed.note_in_request or is_known or progress.waits(plan.find(Kind.CASE))
    if not waiting and not (tells_ids and progress.resident is None):
        return None
    if progress.seen is None or progress.seen.id != request:
        return ReadRequest(request)
    author = "" if plan.feed.note_in_request else plan.feed.author
    return AddNote(progress.seen.resident, request, author, plan.effects[waiting[0]].text, (waiting[0],))


def _next_for_case(plan: Plan, progress: Progress) -> Step | None:
    case, note, extra = plan.find(Kind.CASE), plan.find(Kind.CASE_NOTE), plan.feed.extra_case
    if case is None or note is None or extra is None or progress.resident is None:
        return None
    if progress.waits(case):
        if not progress.has_no_case:
            return ListCases(progress.resident)
        return CreateCase(progress.resident, extra.payload, (case,))
    if progress.case is None or not progress.waits(note):
        return None
    if progress.standings[note] is Standing.UNKNOWN:
        return ReadRequest(progress.case)
    return AddNote(progress.resident, progress.case, plan.feed.author, extra.note, (note,))


def _learn_request(plan: Plan, progress: Progress, step: CreateRequest, made: int) -> Progress:
    left_out = "Postcode" in plan.row.payload and "Postcode" not in step.payload
    standings = progress.mark(Standing.DONE, *step.effects)
    made_known = replace(progress, standings=standings, request=made, address_left_out=left_out)
    seen = progress.seen
    if seen is None or seen.id != made:
        return made_known
    if are_strangers(plan.row.payload, seen.fields):  # as it was before: who it is of may have been mended by this
        return replace(made_known, seen=None)
    return _learn_read(plan, made_known, seen)


def _learn_read(plan: Plan, progress: Progress, seen: HelpRequest) -> Progress:
    if progress.standings[0] in ASKED_FOR:  # it is the request of an earlier version, read for its address
        return replace(progress, seen=seen)
    of_case = seen.id == progress.case
    if not of_case and are_strangers(plan.row.payload, seen.fields):
        return replace(progress, is_anothers=True)
    kind = Kind.CASE_NOTE if of_case else Kind.NOTE
    standings = tuple(
        (Standing.THERE if _is_there(seen, effect, standing) else Standing.OPEN)
        if effect.kind is kind and standing in ASKED_FOR
        else standing
        for effect, standing in zip(plan.effects, progress.standings, strict=True)
    )
    if of_case:
        return replace(progress, standings=standings)
    return replace(progress, standings=standings, seen=seen, resident=seen.resident)


def _is_there(seen: HelpRequest, effect: Effect, standing: Standing) -> bool:
    return has_note(seen.notes, effect.text, may_be_ours=standing is Standing.UNKNOWN)


def _learn_cases(plan: Plan, progress: Progress, answer: Cases) -> Progress:
    case, note, extra = plan.find(Kind.CASE), plan.find(Kind.CASE_NOTE), plan.feed.extra_case
    if case is None or note is None or extra is None:
        raise ValueError("no case was asked for")
    there = [one for one in answer.cases if one.help_needed == extra.help_needed]
    if not there:
        return replace(progress, standings=progress.mark(Standing.OPEN, case), has_no_case=True)
    # When ours was asked for there was none, so the newest is ours. If that is forgotten it is told by how it looks.
    is_asked_for = progress.standings[case] is Standing.UNKNOWN
    ours = [one for one in there if is_asked_for or (progress.is_doubtful and _lacks_its_note(one, extra))]
    if not ours:
        return replace(progress, standings=progress.mark(Standing.THERE, case, note))
    return replace(progress, standings=progress.mark(Standing.DONE, case), case=max(one.id for one in ours))


def _lacks_its_note(case: Case, extra: ExtraCase) -> bool:
    """Whether a case is as ours are until they get their note: made of just that, by nobody who left a word."""
    is_as_made = all(case.fields.get(name) == value for name, value in extra.payload.items())
    return is_as_made and not case.fields.get("Metadata") and case.fields.get("CaseNotes") in (None, "[]")


def _is_at_home(payload: Payload, seen: HelpRequest) -> bool:
    """Whether the postcode is the one that is stored of the same person."""
    one, other = ("".join(str(fields.get("Postcode") or "").split()).upper() for fields in (payload, seen.fields))
    return one == other and not are_strangers(payload, seen.fields)
