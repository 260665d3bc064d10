"""What every form of the ledger does."""

from __future__ import annotations

from contextlib import closing

import pytest

from pipelines.adapters.ledger import Ledger, open_ledger
from pipelines.core.circuit import Circuit
from pipelines.core.rhythms import Mark
from pipelines.core.work import Reason, State
from pipelines_tests.adapters.ledgers import MINUTE, NOW, new, open_at, states

# Marks and circuits


def test_a_mark_is_the_last_one_kept(ledger: Ledger) -> None:
    assert ledger.mark("mobile recent") is None
    for mark in (Mark(NOW, "key/of/a.file"), Mark(NOW + MINUTE, None), Mark()):
        ledger.set_mark("mobile recent", mark)
        assert ledger.mark("mobile recent") == mark
    assert ledger.mark("other") is None


def test_a_circuit_is_the_last_one_kept(ledger: Ledger) -> None:
    assert ledger.circuit("aae") == Circuit()
    opened = Circuit(7, NOW, NOW + MINUTE, 3, Reason.TLS, objects=4, last=2**40)
    for circuit in (opened, Circuit(1, reason=Reason.TIMEOUT, objects=1, last=9), Circuit()):
        ledger.set_circuit("aae", circuit)
        assert ledger.circuit("aae") == circuit


# Opening


def test_what_was_recorded_is_there_when_it_is_opened_again(ledger_url: str) -> None:
    with closing(open_at(ledger_url)) as first:
        first.take_in([new()], NOW)
    with closing(open_at(ledger_url)) as second:
        assert states(second) == {"a.json 1": State.PENDING}


def test_an_unknown_scheme_names_those_that_are_known() -> None:
    with pytest.raises(ValueError, match="sqlite://, postgresql://"):
        open_ledger("mongo://somewhere")
