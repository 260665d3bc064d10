"""A sheet of a hundred thousand rows: nothing lost on the way, nothing twice."""

from __future__ import annotations

import pytest

from pipelines.core.work import State
from pipelines.sandbox.here_to_help import HereToHelp
from pipelines_tests.domains.residents.council import Council, hold, patiently, people

ROWS = 100_000


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_each_row_of_a_large_sheet_reaches_the_api_once_and_is_settled(council: Council, api: HereToHelp) -> None:
    council.drop("a.csv", *people(ROWS, council.feed))
    council.look()
    patiently(council, connections=64).send()
    assert council.results() == {"sent": ROWS}
    assert len(api.received()) == ROWS
    assert hold(api) == (ROWS, ROWS, ROWS)
    assert council.effect_states() == {State.SETTLED: 2 * ROWS}  # each row is a request and a note
