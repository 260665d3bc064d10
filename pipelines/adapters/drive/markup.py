"""XML looked at as bytes, at many places at once.

Here: where its tags begin, and what stands where. Not here: what the tags mean.
"""

from __future__ import annotations

import re
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
import pyarrow as pa

Places: TypeAlias = npt.NDArray[np.int64]
Marks: TypeAlias = npt.NDArray[np.bool_]
Words: TypeAlias = npt.NDArray[np.uint64]

_WORD = 8
_FIRST: Words = np.array([(1 << 8 * size) - 1 for size in range(_WORD + 1)], np.uint64)
"""What leaves so many bytes of a word, from its first."""

_REWRITTEN = (b"&#", b"\r", b"_x")  # a text that holds one reads as something else
_ENTITIES = {"&amp;": "&", "&lt;": "<", "&gt;": ">", "&quot;": '"', "&apos;": "'"}
_ENTITY = re.compile("|".join(_ENTITIES))

_ZEROS = np.uint64(0x3030_3030_3030_3030)
_TO_HIGH = np.uint64(0x7676_7676_7676_7676)  # takes what is above nine over the edge
_HIGH = np.uint64(0x8080_8080_8080_8080)
_JOINED = (  # to numbers of two digits, of four, of eight: the times of the first, the bits to the second, what is kept
    (np.uint64(10), np.uint64(8), np.uint64(0x00FF_00FF_00FF_00FF)),
    (np.uint64(100), np.uint64(16), np.uint64(0x0000_FFFF_0000_FFFF)),
    (np.uint64(10_000), np.uint64(32), np.uint64(0x0000_0000_FFFF_FFFF)),
)


class Markup:
    """A piece of XML.

    Attributes:
        size: how many bytes it has.
        bytes: those, and some zeros behind them.
        opens: where its tags begin.
        initials: what comes next in each of them, of an end the slash.
        is_plain: whether it has tags and texts only, and each ``>`` ends a tag, as others can be in texts.
    """

    def __init__(self, piece: bytes) -> None:
        self.size = len(piece)
        self._padded = piece + bytes(4 * _WORD)
        self.bytes = np.frombuffer(self._padded, np.uint8)
        self._words = np.ndarray((self.size + 3 * _WORD,), np.dtype("<u8"), self._padded, strides=(1,))
        self.opens: Places = np.flatnonzero(self.bytes == ord("<"))
        self.initials = self.bytes[self.opens + 1]
        others = (self.initials == ord("!")) | (self.initials == ord("?"))
        self.is_plain = np.count_nonzero(self.bytes == ord(">")) == len(self.opens) and not others.any()

    def __getitem__(self, span: slice) -> bytes:
        return self._padded[span]

    def words(self, places: Places, sizes: int | Places) -> Words:
        """What stands at the places, so many bytes, at most eight, to be compared with each other."""
        words: Words = self._words[places]
        return words & _FIRST[sizes]

    def have(self, places: Places, what: bytes) -> Marks:
        """At which of the places there is ``what``."""
        words = self._words[places] if len(what) >= _WORD else self.words(places, len(what))
        found: Marks = words == int.from_bytes(what[:_WORD], "little")
        return found & self.have(places + _WORD, what[_WORD:]) if len(what) > _WORD else found

    def numbers(self, starts: Places, ends: Places) -> tuple[Places, Marks]:
        """What stands between as numbers, and where they are that: one to eight digits and nothing else."""
        sizes = ends - starts
        words = self._digits(starts, sizes)
        are: Marks = _are_digits(words) & (sizes > 0) & (sizes <= _WORD)
        for times, bits, kept in _JOINED:
            words = (words * times + (words >> bits)) & kept
        return words.astype(np.int64), are

    def are_digits(self, starts: Places, ends: Places) -> Marks:
        """Where one to sixteen digits stand between, and nothing else."""
        sizes = ends - starts
        are: Marks = _are_digits(self._digits(starts, sizes)) & (sizes > 0) & (sizes <= 2 * _WORD)
        longer = np.flatnonzero(sizes > _WORD)
        are[longer] &= _are_digits(self._words[ends[longer] - _WORD] ^ _ZEROS)
        return are

    def _digits(self, starts: Places, sizes: Places) -> Words:
        """The values of the digits, at most eight, the last one in the highest byte."""
        bits = np.maximum(8 * (_WORD - sizes), 0)
        digits: Words = (self._words[starts] ^ _ZEROS) << bits.astype(np.uint64)
        return digits

    def texts(self, starts: Places, ends: Places) -> list[str]:
        """What stands between, in order, the entities in it read; ``ValueError``: it is no UTF-8, or no entity."""
        if not len(starts):
            return []
        offsets = np.empty(2 * len(starts), np.int32)
        offsets[::2], offsets[1::2] = starts, ends
        buffers = pa.py_buffer(offsets.data), pa.py_buffer(self._padded)
        all_of_it = pa.StringArray.from_buffers(len(offsets) - 1, *buffers)
        texts: list[str] = all_of_it.take(np.arange(0, len(offsets), 2)).to_pylist()  # type: ignore[assignment]  # no nulls
        return [_read(text) if "&" in text else text for text in texts] if b"&" in self._padded else texts

    def are_rewritten(self, starts: Places, ends: Places) -> Marks:
        """Which of the texts between, in order, read as something else than what is written, entities aside."""
        are: Marks = np.zeros(len(starts), np.bool_)
        for what in _REWRITTEN:
            if len(starts) and what[:1] in self._padded:
                found = np.flatnonzero(self.bytes == what[0])
                found = found[self.have(found, what)]
                around = np.searchsorted(starts, found, "right") - 1
                are[around[(around >= 0) & (found < ends[around])]] = True
        return are


def _are_digits(words: Words) -> Marks:
    marks: Marks = (words | (words + _TO_HIGH)) & _HIGH == 0
    return marks


def _read(text: str) -> str:
    read, count = _ENTITY.subn(lambda entity: _ENTITIES[entity[0]], text)
    if count != text.count("&"):
        raise ValueError("an entity that there is not")
    return read
