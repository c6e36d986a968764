"""Identifiers: made here, and checked when they come from outside.

A made id sorts by its time of birth: a prefix, 10 characters of milliseconds, 16 random ones (80 bits), in
Crockford's base 32, lower case: `job_01jd2x7qk9…`.
"""

from __future__ import annotations

import os
import time

from pictura.core.errors import BadRequest

_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"
#: Two letters at a time: an id is made several times a request.
_PAIRS = [first + second for first in _ALPHABET for second in _ALPHABET]
_LONGEST = 200


def new(prefix: str) -> str:
    """A fresh id such as `job_01jd2x7qk9…`: sortable by time, not guessable."""
    moment = time.time_ns() // 1_000_000 << 80
    return f"{prefix}_{_base32(moment | int.from_bytes(os.urandom(10), 'big'), 26)}"


def at(moment_s: float, prefix: str) -> str:
    """An id that sorts before everything made since `moment_s` (Unix seconds), and after everything before it."""
    return f"{prefix}_{_base32(int(moment_s * 1000), 10)}"


def born_s(made: str) -> int:
    """Unix seconds at which `made` was made; 0 for an id that is not ours."""
    stem = made.rpartition("_")[2][:10]
    if len(stem) < 10:
        return 0
    value = 0
    for letter in stem:
        place = _ALPHABET.find(letter)
        if place < 0:
            return 0
        value = value * 32 + place
    return value // 1000


def check(outside: str, param: str) -> str:
    """The id as it is, or BadRequest: control characters, blanks and more than 200 characters are not ids."""
    # Of all blanks, isprintable() lets only the plain one pass; it knows line separators and halves of surrogates too.
    if not 0 < len(outside) <= _LONGEST or not outside.isprintable() or " " in outside:
        raise BadRequest(f"{param} must be 1 to 200 printable characters without blanks", param=param)
    return outside


def _base32(value: int, length: int) -> str:
    pairs = []
    for _ in range(length // 2):
        pairs.append(_PAIRS[value & 1023])
        value >>= 10
    return "".join(reversed(pairs))
