"""Identifiers: made here, and checked when they come from outside.

A made id sorts by its time of birth: a prefix, 10 characters of milliseconds, 16 random ones (80 bits), in
Crockford's base 32, lower case: `job_01jd2x7qk9…`.
"""

from __future__ import annotations

import re
import secrets
import time

from pictura.core.errors import BadRequest

_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"
_PRINTABLE = re.compile(r"[^\x00-\x20\x7f-\x9f]{1,200}")


def new(prefix: str) -> str:
    """A fresh id such as `job_01jd2x7qk9…`: sortable by time, not guessable."""
    return f"{prefix}_{_base32(time.time_ns() // 1_000_000, 10)}{_base32(secrets.randbits(80), 16)}"


def at(moment_s: float, prefix: str) -> str:
    """An id that sorts before everything made since `moment_s` (Unix seconds), and after everything before it."""
    return f"{prefix}_{_base32(int(moment_s * 1000), 10)}"


def born_s(made: str) -> int:
    """Unix seconds at which `made` was made; 0 for an id that is not ours."""
    stem = made.rpartition("_")[2][:10]
    value = 0
    for letter in stem:
        place = _ALPHABET.find(letter)
        if place < 0:
            return 0
        value = value * 32 + place
    return value // 1000


def check(outside: str, param: str) -> str:
    """The id as it is, or BadRequest: control characters, blanks and more than 200 characters are not ids."""
    if not _PRINTABLE.fullmatch(outside):
        raise BadRequest(f"{param} must be 1 to 200 printable characters without blanks", param=param)
    return outside


def _base32(value: int, length: int) -> str:
    letters = []
    for _ in range(length):
        value, place = divmod(value, 32)
        letters.append(_ALPHABET[place])
    return "".join(reversed(letters))
