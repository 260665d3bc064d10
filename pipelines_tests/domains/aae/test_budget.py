"""Bytes in memory at once."""

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.domains.aae.budget import Budget


@given(st.lists(st.integers(0, 30), max_size=30), st.integers(1, 20))
def test_no_more_than_the_limit_is_held_and_everyone_gets_through(sizes: list[int], limit: int) -> None:
    held: list[int] = []
    done: list[int] = []

    async def hold(budget: Budget, size: int) -> None:
        async with budget.take(size):
            held.append(size)
            assert sum(held) <= limit or len(held) - held.count(0) <= 1
            await asyncio.sleep(0)
            held.remove(size)
        done.append(size)

    async def everyone() -> None:
        budget = Budget(limit)
        await asyncio.gather(*(hold(budget, size) for size in sizes))

    asyncio.run(everyone())
    assert sorted(done) == sorted(sizes)


def test_an_error_gives_back_what_was_held() -> None:
    async def fail_then_take() -> None:
        budget = Budget(10)
        with pytest.raises(RuntimeError):
            async with budget.take(10):
                raise RuntimeError
        async with asyncio.timeout(5), budget.take(10):
            pass

    asyncio.run(fail_then_take())
