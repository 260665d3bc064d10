"""What is judged of a day: each check fails for what it is about, and for nothing else."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
from msgspec import structs

from pipelines.core.work import State
from pipelines.domains.residents.checks import CHECKS, judge_day, judge_outcomes
from pipelines.domains.residents.entries import REQUEST
from pipelines.domains.residents.totals import Totals, alarms, count_doubles, total
from pipelines.environment import Environment
from pipelines.sandbox.here_to_help import Behaviour, HereToHelp
from pipelines_tests.domains.residents.council import Council, people

_WELL = Totals(sheets=Counter({State.SETTLED: 1}), rows=100, results=Counter({"sent": 98, "rejected": 2}))


def _failed(totals: Totals, doubles: int = 0) -> set[str]:
    return {name for name, passed, _ in judge_day(totals, doubles, Environment(home=Path("nowhere"))) if not passed}


def test_each_check_is_judged() -> None:
    judged = [name for name, _, _ in judge_day(_WELL, 0, Environment(home=Path("nowhere")))]
    assert judged == list(CHECKS)
    assert _failed(_WELL) == set()


@pytest.mark.parametrize(
    ("changes", "doubles", "failed"),
    [
        ({"rows": 101}, 0, {"every_row_accounted_for"}),
        ({"replaced": 1}, 0, {"no_row_replaced"}),
        ({"results": Counter({"sent": 94, "rejected": 6})}, 0, {"rejected_within_bound"}),
        ({"results": Counter({"sent": 94, "given up": 6})}, 0, {"rejected_within_bound"}),
        ({"results": Counter({"sent": 99, "unknown": 1})}, 0, {"no_row_unknown"}),
        ({"sheets": Counter({State.DEAD: 1})}, 0, {"every_sheet_settled"}),
        ({"sheets": Counter({State.PENDING: 1})}, 0, {"nothing_pending", "every_sheet_settled"}),
        ({}, 1, {"no_duplicate_requests"}),
    ],
)
def test_a_check_fails_for_what_it_is_about(changes: dict[str, object], doubles: int, failed: set[str]) -> None:
    assert _failed(replace(_WELL, **changes), doubles) == failed  # type: ignore[arg-type]  # each test changes another field


def test_a_day_is_added_up_from_its_settled_sheets(council: Council, api: HereToHelp) -> None:
    api.behave(Behaviour(status=400, last_names="Sample1"))
    council.drop("a.csv", *people(3, council.feed))
    council.put("b.csv", b"no header\n")
    council.settle()
    totals = total(council.sheets())
    assert (totals.sheets[State.SETTLED], totals.refused, totals.rows, totals.unaccounted) == (1, 1, 3, 0)
    assert totals.results == {"sent": 2, "rejected": 1}
    assert totals.rejected_share == pytest.approx(1 / 3)


def test_rows_that_were_never_sent_as_their_sheet_was_replaced_are_told_of(council: Council, api: HereToHelp) -> None:
    """A sheet waits in an outage, and the next day's list of other people takes its place."""
    api.behave(Behaviour(status=503))
    council.drop("export.csv", *people(20, council.feed))
    council.look()
    council.send()
    api.behave()
    council.later(days=1)
    council.drop("export.csv", *people(2, council.feed, 100))
    council.settle()
    assert council.results() == {"sent": 2}
    replaced, sent = council.sheets()
    assert _failed(total([replaced])) == {"no_row_replaced"}
    assert _failed(total([sent])) == set()


def test_a_day_over_the_bound_asks_for_a_person() -> None:
    lost = replace(_WELL, results=Counter({"sent": 94, "rejected": 4, "given up": 2}))
    raised = alarms({"2021-11-20": _WELL, "2021-11-21": lost, "2021-11-22": Totals()}, 0.05)
    assert raised == ["6 of 100 rows of 2021-11-21 were rejected or given up"]
    assert alarms({"2021-11-21": lost}, 0.06) == []


def test_a_key_with_two_requests_is_a_duplicate(council: Council) -> None:
    council.drop("a.csv", *people(2, council.feed))
    council.settle()
    effects = council.effects()
    assert count_doubles(effects) == 0
    first = next(item for item in effects if REQUEST in item.detail)
    assert count_doubles([*effects, structs.replace(first, version="other", detail={REQUEST: 99})]) == 1


def test_an_outcome_that_was_not_seen_after_it_was_written_is_told(council: Council) -> None:
    council.drop("a.csv", *people(2, council.feed))
    council.settle()
    assert [passed for _, passed, _ in judge_outcomes(council.outcomes())] == [False, True]
    (written,) = council.write()
    assert all(passed for _, passed, _ in judge_outcomes([written]))
    unseen = structs.replace(written, detail={**written.detail, "seen": False})
    assert [passed for _, passed, _ in judge_outcomes([unseen])] == [True, False]
