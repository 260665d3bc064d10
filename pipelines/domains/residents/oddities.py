"""What is odd about a cell, though it is sent: judged by form alone."""

from __future__ import annotations

import re

_GAPS = re.compile(r"[\s()./-]+")
_PHONE = re.compile(r"0[0-9]{9,10}|\+[1-9][0-9]{7,14}|00[1-9][0-9]{7,14}")
_POSTCODE = re.compile(r"(?:[A-Z]{1,2}[0-9][A-Z0-9]?|GIR) ?[0-9][A-Z]{2}")
_UPRN = re.compile(r"[0-9]{1,12}")
_NHS_NUMBER = re.compile(r"[0-9]{10}")


def is_nhs_number(text: str) -> bool:
    """Whether it has ten digits, whatever gaps between them, of which the last one checks the others."""
    digits = _GAPS.sub("", text)
    if not _NHS_NUMBER.fullmatch(digits):
        return False
    weighted = sum(int(digit) * weight for digit, weight in zip(digits, range(10, 1, -1), strict=False))
    return (11 - weighted % 11) % 11 == int(digits[-1])  # a remainder of 10 equals no digit: such numbers are not given


def is_phone(text: str) -> bool:
    """Whether it looks like a phone number of this country, or of another with its code."""
    return _PHONE.fullmatch(_GAPS.sub("", text)) is not None


def is_postcode(text: str) -> bool:
    """Whether it looks like a postcode, in any case, with or without its blank."""
    return _POSTCODE.fullmatch(" ".join(text.upper().split())) is not None


def is_uprn(text: str) -> bool:
    """Whether it has one to twelve digits and nothing else."""
    return _UPRN.fullmatch(text) is not None
