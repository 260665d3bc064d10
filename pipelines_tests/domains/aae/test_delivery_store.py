"""A lake that is out of order for long: no object is given up for that, nor for the first failure after it."""

from __future__ import annotations

from typing import Never

from pipelines.adapters.objects import ObjectsUnavailable
from pipelines.adapters.objects.files import FileObjects
from pipelines.core.work import Reason, State
from pipelines.sandbox.aae import Aae, Behaviour
from pipelines_tests.domains.aae.deliveries import POLICY, Site


class _OutOfOrder(FileObjects):
    """A store whose disk fails on every read."""

    def get(self, key: str, *, etag: str | None = None) -> Never:
        raise ObjectsUnavailable(key)


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
