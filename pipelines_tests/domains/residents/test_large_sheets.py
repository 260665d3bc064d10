"""A sheet of a hundred thousand rows: nothing lost on the way, nothing twice."""

from __future__ import annotations

import pytest

from pipelines.core.work import State
from pipelines.sandbox.here_to_help import HereToHelp
from pipelines_tests.domains.residents.council import Council, hold, patiently, people

PEOPLE, TIMES = 10_000, 10


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_each_row_of_a_large_sheet_is_accounted_for_and_each_person_sent_once(
    council: Council, api: HereToHelp
) -> None:
    """To send as many people takes minutes: the benchmark of residents does."""
    council.drop("a.csv", *people(PEOPLE, council.feed) * TIMES)
    council.look()
    patiently(council, connections=64).send()
    assert council.results() == {"sent": PEOPLE, "duplicate": (TIMES - 1) * PEOPLE}
    assert len(api.received()) == PEOPLE
    assert hold(api) == (PEOPLE, PEOPLE, PEOPLE)
    assert council.effect_states() == {State.SETTLED: 2 * PEOPLE}  # each is a request and a note
