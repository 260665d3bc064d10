"""A lake that is out of order: no object is given up for that, and one that can't be read stops none beside it."""

from __future__ import annotations

from typing import Never

import pytest

from pipelines.adapters.objects import ObjectMissing, ObjectsUnavailable
from pipelines.adapters.objects.files import FileObjects
from pipelines.core.work import Reason, State
from pipelines.domains.aae.delivering import READ_TOGETHER
from pipelines.sandbox.aae import Aae, Behaviour
from pipelines_tests.domains.aae.deliveries import POLICY, Site, key_of


class _OutOfOrder(FileObjects):
    """A store whose disk fails on every read."""

    def get(self, key: str, *, etag: str | None = None) -> Never:
        raise ObjectsUnavailable(key)


class _Bad(FileObjects):
    """A store that fails on one object, in its own way."""

    key: str
    error: Exception

    def get(self, key: str, *, etag: str | None = None) -> bytes:
        if key == self.key:
            raise self.error
        return super().get(key, etag=etag)


def test_an_object_that_could_not_be_read_for_long_has_attempts_left(site: Site, aae: Aae) -> None:
    site.release("a.parquet")
    lake = _OutOfOrder(site.lake.url, site.folder / "lake")
    for _ in range(3 * POLICY.attempts):
        site.deliver(lake=lake)
        site.later(hours=1)
    (item,) = site.items().values()
    assert (item.state, item.reason) == (State.PENDING, Reason.UNREADABLE)
    aae.behave(Behaviour(status=500, times=1))
    site.deliver()
    (item,) = site.items().values()
    assert (item.state, item.reason) == (State.PENDING, Reason.SERVER_ERROR)
    site.later(hours=1)
    site.deliver()
    assert site.states() == {State.SETTLED: 1}


@pytest.mark.parametrize(
    ("error", "reason"), [(ObjectsUnavailable("it"), Reason.UNREADABLE), (ObjectMissing("it"), Reason.ALTERED)]
)
def test_one_object_that_can_t_be_read_stops_none_that_is_read_with_it(
    site: Site, error: Exception, reason: Reason
) -> None:
    names = [f"{number}.parquet" for number in range(READ_TOGETHER)]
    site.release(*names)
    lake = _Bad(site.lake.url, site.folder / "lake")
    lake.key, lake.error = key_of(names[3]), error
    site.deliver(lake=lake)
    left = site.items().pop(names[3])
    assert (left.state, left.reason) == (State.PENDING, reason)
    assert site.states() == {State.SETTLED: READ_TOGETHER - 1, State.PENDING: 1}


def test_a_fault_of_ours_while_one_is_read_fails_the_run_after_it_has_sent_the_others(site: Site) -> None:
    names = [f"{number}.parquet" for number in range(READ_TOGETHER)]
    site.release(*names)
    lake = _Bad(site.lake.url, site.folder / "lake")
    lake.key, lake.error = key_of(names[3]), ZeroDivisionError()
    with pytest.raises(ZeroDivisionError):
        site.deliver(lake=lake)
    left = site.items().pop(names[3])
    assert (left.state, left.reason) == (State.PENDING, Reason.INTERNAL)
    assert site.states() == {State.SETTLED: READ_TOGETHER - 1, State.PENDING: 1}
