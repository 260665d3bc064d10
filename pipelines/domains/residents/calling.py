"""A row's steps as calls of the API, and its replies as answers. Not here: whether to call, and what follows."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from typing import Any

from pipelines.adapters.here_to_help import HereToHelp, Reply
from pipelines.core.delivery import Answer as Sent
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
    Step,
)
from pipelines.domains.residents.notes import write_note
from pipelines.domains.residents.replies import Case, HelpRequest

_GATEWAY_LOST_IT = 502
"""What an answer is worth that says success, and not of what."""


async def call(api: HereToHelp, step: Step, now: datetime) -> Reply[Any]:
    """Make the call of a step; a note is written as of ``now``."""
    match step:
        case CreateRequest():
            return await api.post_help_request(step.payload)
        case ReadRequest():
            return await api.get_help_request(step.request)
        case AddNote():
            text = write_note(step.author, now, step.text) if step.author else step.text
            return await api.post_case_note(step.resident, step.request, text)
        case ListCases():
            return await api.get_resident_requests(step.resident)
        case CreateCase():
            return await api.post_resident_request(step.resident, step.payload)


def read(step: Step, reply: Reply[Any]) -> Answer | None:
    """What a reply says, if it says what was asked for, or that a request is gone; None for any other."""
    if reply.answer.status == 404 and isinstance(step, ReadRequest):
        return Gone()
    if reply.body is None:
        return None
    match step:
        case CreateRequest() | CreateCase():
            return Made(reply.body)
        case ReadRequest():
            stored = reply.body
            return HelpRequest(stored.id, stored.resident_id, stored.case_notes, stored.fields)
        case AddNote():
            return Done()
        case ListCases():
            return Cases(tuple(Case(one.id, one.help_needed or "", one.fields) for one in reply.body))


def sent(reply: Reply[Any]) -> Sent:
    """The answer as the retry policy takes it: a success that can't be read is none."""
    status = reply.answer.status
    if status is not None and 200 <= status < 300 and reply.body is None:
        return replace(reply.answer, status=_GATEWAY_LOST_IT)
    return reply.answer
