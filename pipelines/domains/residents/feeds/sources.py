"""How values are made of cells: what the feeds' tables are written with."""

from __future__ import annotations

from collections.abc import Callable

from pipelines.domains.residents.feeds.contract import Source


def cell(column: str) -> Source[str]:
    """A cell as it is."""
    return Source((column,), str)


def upper(column: str) -> Source[str]:
    """A cell in capitals."""
    return Source((column,), str.upper)


def yes(column: str) -> Source[bool]:
    """Whether a cell says yes, in any case."""
    return Source((column,), lambda text: text.lower() == "yes")


def one(column: str) -> Source[bool]:
    """Whether a cell is 1."""
    return Source((column,), lambda text: text == "1")


def constant(text: str) -> Source[str]:
    """The same text for every row."""
    return Source((), lambda: text)


def always(value: bool) -> Source[bool]:
    """The same truth for every row."""
    return Source((), lambda: value)


def made(make: Callable[..., str], *columns: str) -> Source[str]:
    """What a function makes of some cells."""
    return Source(columns, make)


def labelled(label: str, column: str) -> Source[str]:
    """A cell behind its label, blank if the cell is."""
    return Source((column,), lambda text: f"{label}: {text}" if text else "")


def template(text: str, *columns: str) -> Source[str]:
    """A text with a cell, blank or not, in each of its gaps `{}`."""
    return Source(columns, text.format)


def house_and_line(house: str, line: str) -> str:
    """A house number before a line of address, or what there is; once if both say the same."""
    return house or line if not (house and line) or house == line else f"{house} {line}"


def address(text: str) -> str:
    """An e-mail address, blank for what can't be one."""
    return text if "@" in text else ""
