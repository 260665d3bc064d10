from __future__ import annotations

import gzip
import tracemalloc
import zlib
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.core.lines import HEAD_LENGTH, LINE_LIMIT, BrokenStream, Line, LongLine, gunzip, split_lines


def cut(data: bytes, size: int) -> list[bytes]:
    return [data[at : at + size] for at in range(0, len(data), size)]


def test_lines_are_numbered_from_one_and_blank_ones_are_counted_but_left_out() -> None:
    data = b"a\n\n  \nb\r\n\r\n\tc"
    assert list(split_lines([data])) == [Line(1, b"a"), Line(4, b"b"), Line(6, b"\tc")]


def test_an_empty_stream_has_no_lines() -> None:
    assert list(split_lines([])) == []
    assert list(split_lines([b"", b""])) == []


def test_a_last_line_without_an_end_counts_and_may_end_in_a_carriage_return() -> None:
    assert list(split_lines([b"a\nb\r"])) == [Line(1, b"a"), Line(2, b"b")]


@pytest.mark.parametrize("size", [1, 2, 3, 100])
def test_a_byte_order_mark_is_dropped_at_the_very_start_only(size: int) -> None:
    mark = b"\xef\xbb\xbf"
    assert list(split_lines(cut(mark + b"a\n" + mark + b"b", size))) == [Line(1, b"a"), Line(2, mark + b"b")]


@pytest.mark.parametrize("end", [b"", b"\n", b"\r\n"])
@pytest.mark.parametrize("size", [1, 7, 8, 9, 1000])
def test_the_limit_is_on_the_line_without_its_end(end: bytes, size: int) -> None:
    assert list(split_lines(cut(b"x" * 8 + end, size), limit=8)) == [Line(1, b"x" * 8)]
    assert list(split_lines(cut(b"x" * 9 + end, size), limit=8)) == [LongLine(1, 9, b"x" * 8)]


def test_a_line_over_the_limit_leaves_its_neighbours_whole() -> None:
    data = b"a\n" + b"y" * 20 + b"\nb\n"
    assert list(split_lines(cut(data, 4), limit=8)) == [Line(1, b"a"), LongLine(2, 20, b"y" * 8), Line(3, b"b")]


def test_of_a_long_line_only_a_head_is_kept() -> None:
    (line,) = split_lines([b"z" * (LINE_LIMIT + 1)])
    assert line == LongLine(1, LINE_LIMIT + 1, b"z" * HEAD_LENGTH)


def test_memory_stays_flat_over_an_endless_line_and_many_short_ones() -> None:
    """64 MiB pass; only a line of the limit, a chunk and its pieces may ever be held."""

    def stream() -> Iterator[bytes]:
        for _ in range(1_000):
            yield b"q" * 65_536
        for _ in range(20):
            yield b"short\n" * 10_922

    tracemalloc.start()
    try:
        count = sum(1 for _ in split_lines(stream()))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert count == 20 * 10_922
    assert peak < 8 << 20


def test_what_lines_hold_is_not_in_their_printed_form() -> None:
    assert "secret" not in repr([*split_lines([b"secret\n" + b"secret" * 9], limit=8)])


@given(data=st.lists(st.sampled_from([b"a", b"\r", b"\n", b" ", b"bc" * 5, b"\xef\xbb\xbf"])), size=st.integers(1, 9))
def test_where_the_stream_is_cut_makes_no_difference(data: list[bytes], size: int) -> None:
    whole = b"".join(data)
    assert list(split_lines(cut(whole, size), limit=6)) == list(split_lines([whole], limit=6))


@given(data=st.binary(max_size=200).filter(lambda data: b"\r" not in data))
def test_lines_are_what_splitting_at_line_feeds_gives(data: bytes) -> None:
    pieces = enumerate(data.removeprefix(b"\xef\xbb\xbf").split(b"\n"), 1)
    assert list(split_lines(cut(data, 5))) == [
        Line(at, piece) for at, piece in pieces if piece.strip(b" \t\n\r\x0b\x0c")
    ]


@given(
    members=st.lists(st.binary(max_size=3_000), min_size=1, max_size=4), size=st.integers(1, 500), zeros=st.booleans()
)
def test_every_member_is_unpacked_wherever_the_stream_is_cut(members: list[bytes], size: int, *, zeros: bool) -> None:
    padding = b"\0" * 13 * zeros
    packed = b"".join(gzip.compress(member) + padding for member in members)
    assert b"".join(gunzip(cut(packed, size))) == b"".join(members)


def test_unpacked_pieces_are_small_whatever_the_ratio() -> None:
    packed = gzip.compress(bytes(30 << 20))
    sizes = [len(piece) for piece in gunzip([packed])]
    assert sum(sizes) == 30 << 20
    assert max(sizes) <= 1 << 20


def read_until_broken(chunks: list[bytes]) -> bytes:
    seen: list[bytes] = []
    with pytest.raises(BrokenStream):
        seen.extend(gunzip(chunks))
    return b"".join(seen)


@pytest.mark.parametrize("kept", [0, 1, 9, 10, 50, -20, -8, -1])
def test_a_stream_cut_short_is_broken_after_all_that_it_holds(kept: int) -> None:
    """Its last eight bytes are a trailer: without them nothing of the content is missing."""
    content = bytes(range(256)) * 8
    packed = gzip.compress(content)
    seen = read_until_broken(cut(packed[:kept], 7))
    assert content.startswith(seen)
    assert (seen == content) == (-8 <= kept < 0)


def test_what_waits_inside_the_unpacker_is_not_lost_when_the_stream_is_cut() -> None:
    """One byte stands for 258 and more: a piece may be full though all of the input is used up."""
    packed = gzip.compress(bytes(3 << 20))
    for kept in range(len(packed) // 3 - 20, len(packed) // 3 + 20):
        whole = zlib.decompressobj(31).decompress(packed[:kept])
        assert len(read_until_broken([packed[:kept]])) == len(whole)


def test_no_byte_at_all_is_not_a_gzip_stream() -> None:
    assert read_until_broken([]) == b""


def test_damage_in_a_later_member_keeps_the_members_before() -> None:
    assert read_until_broken([gzip.compress(b"first") + b"not gzip"]) == b"first"


def test_damage_keeps_every_byte_before_it() -> None:
    """A stored block and a block of a kind that doesn't exist: a failing call of zlib alone would give nothing."""
    header = gzip.compress(b"")[:10]
    stored = b"\x00" + (5).to_bytes(2, "little") + (5 ^ 0xFFFF).to_bytes(2, "little") + b"hello"
    assert read_until_broken([header + stored + b"\x07" + b"more"]) == b"hello"


def test_a_wrong_checksum_is_damage() -> None:
    packed = bytearray(gzip.compress(b"content"))
    packed[-5] ^= 1
    assert read_until_broken([bytes(packed)]) == b"content"
