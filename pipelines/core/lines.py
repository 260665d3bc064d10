"""Numbered lines out of a stream of bytes, with flat memory whatever the stream holds.

Here: unpacking gzip and cutting at line ends. Not here: where the bytes come from, and what a line means.
"""

import codecs
import zlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field

import msgspec

LINE_LIMIT = 1 << 20
"""Longest line, in bytes without its line end, that is handed on whole."""

HEAD_LENGTH = 64 << 10
"""Bytes that are kept of a longer line."""

_PIECE = 1 << 20
_GZIP = 16 + zlib.MAX_WBITS


class BrokenStream(ValueError):  # noqa: N818 - it tells of the stream, whoever made it so
    """The stream ends early or is damaged; all that could be read of it was handed on before."""


class Line(msgspec.Struct, frozen=True, gc=False):  # made for every line there is, at a fifth of a dataclass's cost
    """One line without its line end; numbers count from 1 and count blank lines too."""

    number: int
    data: bytes

    def __repr__(self) -> str:
        return f"Line(number={self.number})"


@dataclass(frozen=True, slots=True)
class LongLine:
    """A line over the limit: its length in bytes without its line end, and its first bytes only."""

    number: int
    length: int
    head: bytes = field(repr=False)


def split_lines(chunks: Iterable[bytes], limit: int = LINE_LIMIT) -> Iterator[Line | LongLine]:
    r"""Cut a stream into numbered lines, lazily, holding one chunk and one line of `limit` bytes at most.

    Lines end with ``\n`` or ``\r\n``; the last one needs no end. A byte order mark at the very start is dropped.
    Blank lines are counted but not handed on.

    Args:
        chunks: The stream, cut anywhere.
        limit: Longest line in bytes that is handed on whole.

    Yields:
        Each line that is not blank, in order.
    """
    number = 1
    open_line = _OpenLine(limit)
    for chunk in _drop_mark(chunks):
        *ends, start = chunk.split(b"\n")
        is_open = bool(open_line)
        for end in ends:
            if is_open or len(end) > limit:
                open_line.add(end)
                line, is_open = open_line.close(number), False
                if line:
                    yield line
            elif (data := end.removesuffix(b"\r")) and not data.isspace():  # most lines stand whole in their chunk
                yield Line(number, data)
            number += 1
        open_line.add(start)
    if line := open_line.close(number):
        yield line


def gunzip(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """Unpack a gzip stream of one or more members, lazily, in pieces of at most 1 MiB.

    Args:
        chunks: The packed stream, cut anywhere.

    Yields:
        The unpacked bytes, never an empty piece.

    Raises:
        BrokenStream: The stream is cut short or damaged; raised after every byte that can be unpacked.
    """
    member = zlib.decompressobj(_GZIP)
    for chunk in chunks:
        data, more = chunk, bool(chunk)
        while more:
            if member.eof:
                data = data.lstrip(b"\0")  # zeros are allowed as padding after a member
                if not data:
                    break
                member = zlib.decompressobj(_GZIP)
            before = member.copy()
            try:
                piece = member.decompress(data, _PIECE)
            except zlib.error:
                yield from _unpack_until_damaged(before.decompress, data)
                raise BrokenStream("the gzip stream is damaged") from None
            if piece:
                yield piece
            data = member.unused_data if member.eof else member.unconsumed_tail
            more = bool(data) or (len(piece) == _PIECE and not member.eof)
    if not member.eof:
        raise BrokenStream("the gzip stream is cut short")


def _unpack_until_damaged(unpack: Callable[[bytes], bytes], data: bytes) -> Iterator[bytes]:
    """Go on byte by byte, since a call of zlib that fails throws away what it unpacked before the damage."""
    with suppress(zlib.error):
        for at in range(len(data)):
            if piece := unpack(data[at : at + 1]):
                yield piece


def _drop_mark(chunks: Iterable[bytes]) -> Iterator[bytes]:
    stream = iter(chunks)
    start = b""
    for chunk in stream:
        start += chunk
        if len(start) >= len(codecs.BOM_UTF8):
            break
    yield start.removeprefix(codecs.BOM_UTF8)
    yield from stream


class _OpenLine:
    """The line being read: its length, and no more than `limit` bytes of it."""

    __slots__ = ("_kept", "_last", "_length", "_limit")

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._kept: list[bytes] = []
        self._length = 0
        self._last = b""

    def __bool__(self) -> bool:
        return self._length > 0

    def add(self, data: bytes) -> None:
        if data:
            if self._length < self._limit:
                self._kept.append(data[: self._limit - self._length])
            self._length += len(data)
            self._last = data[-1:]

    def close(self, number: int) -> Line | LongLine | None:
        """The line, or None if it is blank; the next one starts empty."""
        kept, length = b"".join(self._kept), self._length - (self._last == b"\r")
        self._kept, self._length, self._last = [], 0, b""
        if length > self._limit:
            return LongLine(number, length, kept[:HEAD_LENGTH])
        return _make_line(number, kept[:length])


def _make_line(number: int, data: bytes) -> Line | None:
    return None if not data or data.isspace() else Line(number, data)
