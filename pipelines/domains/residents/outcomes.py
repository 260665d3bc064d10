"""What became of a row, in words for whoever reads the sheet that is written back. No word is a value of the row."""

from __future__ import annotations

from enum import StrEnum

import msgspec

from pipelines.domains.residents.effects import is_parked, next_step
from pipelines.domains.residents.faults import Oddity, Rejected, Skipped, Warned
from pipelines.domains.residents.progress import Kind, Plan, Progress, Standing


class Result(StrEnum):
    """What became of a row."""

    SENT = "sent"
    UNCHANGED = "sent before"
    DUPLICATE = "duplicate"
    SKIPPED = "skipped"
    REJECTED = "rejected"
    UNKNOWN = "unknown"
    """It may have been sent; only a person can tell."""
    WAITING = "waiting"
    """It is not all sent yet."""
    GIVEN_UP = "given up"
    """What was tried often enough is not tried again by itself."""


class Why(StrEnum):
    """Reasons of results; rows that were never sent have reasons of their own."""

    DUPLICATE = "the same as row"
    REFUSED = "refused by the API"
    NOTE_REFUSED = "a note was refused by the API"
    CASE_REFUSED = "the extra case was refused by the API"
    ANOTHERS = "the id is that of another person's request, which may have been changed"
    LOST = "no answer, and no id to ask again by"


class Outcome(msgspec.Struct, frozen=True):
    """What became of a row.

    Attributes:
        result: of the row.
        reason: of the result, or empty.
        warnings: what was odd.
        passed: whether the filters let it pass.
        resident: the resident's id, if it is known.
        request: the request's id, if it is known.
        case: the extra case's id, if it was made for this row.
    """

    result: Result
    reason: str = ""
    warnings: tuple[Warned, ...] = ()
    passed: bool = True
    resident: int | None = None
    request: int | None = None
    case: int | None = None


def tell_unsent(verdict: Skipped | Rejected) -> Outcome:
    """The outcome of a row that is not to be sent, or can't be."""
    if isinstance(verdict, Skipped):
        return Outcome(Result.SKIPPED, verdict.reason, passed=False)
    reason = f"{verdict.column}: {verdict.reason}" if verdict.column else str(verdict.reason)
    return Outcome(Result.REJECTED, reason, passed=not verdict.filtered)


def tell_duplicate(first: int, warnings: tuple[Warned, ...], of_first: Outcome) -> Outcome:
    """The outcome of a row that says the same as an earlier one, by that one's number in the sheet and outcome."""
    ids = of_first.resident, of_first.request, of_first.case
    return Outcome(Result.DUPLICATE, f"{Why.DUPLICATE} {first}", warnings, True, *ids)


def tell_sent(
    plan: Plan, progress: Progress, *, words: str = "", given_up: bool = False, unchanged: bool = False
) -> Outcome:
    """The outcome of a row that was to be sent.

    Args:
        plan: of the row.
        progress: how far it is.
        words: of the refusal, or why it was given up, as far as they are nobody's data.
        given_up: whether nothing more is tried.
        unchanged: whether all of it was sent before this version of the sheet.
    """
    result, why = _judge(plan, progress, given_up=given_up)
    if result is Result.SENT and unchanged:
        result = Result.UNCHANGED
    warnings = plan.row.warnings
    if progress.address_left_out:
        kept = Warned(Oddity.ADDRESS_KEPT)
        warnings = tuple(kept if one.oddity is Oddity.ADDRESS else one for one in warnings)
    reason = ": ".join(part for part in (why, words) if part)
    return Outcome(result, reason, warnings, True, progress.resident, progress.request, progress.case)


def _judge(plan: Plan, progress: Progress, *, given_up: bool) -> tuple[Result, str]:
    if progress.standings[0] is Standing.REFUSED:
        return Result.REJECTED, Why.REFUSED
    if progress.is_anothers:
        return Result.REJECTED, Why.ANOTHERS
    if is_parked(plan, progress):
        return Result.UNKNOWN, Why.LOST
    if next_step(plan, progress) is not None:
        return (Result.GIVEN_UP if given_up else Result.WAITING), ""
    refused = {
        effect.kind
        for effect, standing in zip(plan.effects, progress.standings, strict=True)
        if standing is Standing.REFUSED
    }
    if Kind.CASE in refused:
        return Result.SENT, Why.CASE_REFUSED
    return Result.SENT, Why.NOTE_REFUSED if refused else ""
