"""The shared texts of an xlsx, packed, and texts that read as they are written.

Not here: texts of several pieces, or with escapes in them, which calamine is asked for as if each was in a cell.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Callable, Sequence
from typing import IO, TypeAlias

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from pipelines.adapters.drive.cells import Stored
from pipelines.adapters.drive.markup import Marks, Markup, Places
from pipelines.adapters.drive.parts import cut_texts

Ask: TypeAlias = Callable[[Sequence[bytes]], Sequence[Stored]]
"""Tells what cells come to, each given as what stands behind its reference."""

Objects: TypeAlias = npt.NDArray[np.object_]

INLINE, INLINE_END = b' t="inlineStr"><is>', b"</is></c>"
_TEXT, _KEPT, _TEXT_END = b"<t>", b'<t xml:space="preserve">', b"</t>"
_SPACE = ord(" ")
_SHARED, _SHARED_END = b"<si>", b"</si>"
_ELEMENT = re.compile(rb"<si\b[^>]*?(?:/>|>(.*?)</si>)", re.DOTALL)

_FREQUENT = 1 << 15
"""Texts that are ready to be given out: those come first that are in many cells, as they are in one of the first."""


class Texts:
    """Shared texts by their number: the bytes of each, and four more."""

    def __init__(self, blocks: Sequence[pa.StringArray]) -> None:
        self._all = pa.concat_arrays(blocks) if blocks else pa.array([], pa.string())
        self._frequent: Objects = np.array(self._all[:_FREQUENT].to_pylist(), object)
        # What stands before a number in place of a text: nothing that a cell could say by chance, or on purpose.
        self._mark = f"{secrets.token_hex(4)}:"
        self.reference = self._mark.encode()

    def __len__(self) -> int:
        return len(self._all)

    def at(self, numbers: Places) -> Objects:
        """The texts of these numbers; ``IndexError`` if there is none."""
        found: Objects = self._frequent.take(numbers, mode="clip")
        if len(others := np.flatnonzero((numbers < 0) | (numbers >= len(self._frequent)))):
            found[others] = self._all.take(numbers[others]).to_pylist()
        return found

    def resolved(self, stored: list[Stored]) -> list[Stored]:
        """The cells of a row, the texts in place of what stands for them."""
        for place, value in enumerate(stored):
            if isinstance(value, str) and value.startswith(self._mark):
                stored[place] = self.at(np.array([int(value[len(self._mark) :])]))[0]
        return stored


def read_texts(xml: IO[bytes], ask: Ask) -> Texts:
    """All shared texts of a workbook."""
    return Texts([_read_block(block, ask) for block in cut_texts(xml)])


def find_plain(markup: Markup, tags: Places, before: bytes, behind: bytes) -> tuple[Places, Places, Marks]:
    """Where the texts of ``<t>`` elements start and end, and which read as they are written and stand between these."""
    place, end = markup.opens[tags], markup.opens[tags + 1]
    is_kept = markup.bytes[place + len(_TEXT) - 1] != ord(">")
    start = place + np.where(is_kept, len(_KEPT), len(_TEXT))
    fit = markup.have(place - len(before), before + _TEXT[:-1]) & markup.have(end, _TEXT_END + behind)
    fit &= np.where(
        is_kept, markup.have(place, _KEPT), (markup.bytes[start] > _SPACE) & (markup.bytes[end - 1] > _SPACE)
    )
    fit[fit] = ~markup.are_rewritten(start[fit], end[fit])
    return start, end, fit


def _read_block(block: bytes, ask: Ask) -> pa.StringArray:
    markup = Markup(block)
    tag = np.flatnonzero(markup.initials == ord("s"))
    tag = tag[markup.have(markup.opens[tag], _SHARED[:-1])]
    end_of_all = np.append(markup.opens[tag[1:]], len(block))
    which = np.flatnonzero(np.diff(tag, append=len(markup.opens)) == 4)
    start, end, fit = find_plain(markup, tag[which] + 1, _SHARED, _SHARED_END)
    fit &= markup.is_plain & (end + len(_TEXT_END + _SHARED_END) == end_of_all[which])
    plain = markup.texts(start[fit], end[fit])
    if len(plain) == len(tag):
        return pa.array(plain, pa.string())
    elements = _ELEMENT.findall(block)
    fit &= len(elements) == len(tag)
    texts = np.full(len(elements), "", object)
    texts[which[fit]] = plain if fit.any() else []
    others = np.setdiff1d(np.arange(len(elements)), which[fit]).tolist()
    texts[others] = [str(value) for value in ask([b"".join((INLINE, elements[each], INLINE_END)) for each in others])]
    return pa.array(texts.tolist(), pa.string())
