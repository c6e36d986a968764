"""Seeds of the sandbox's own choosing: the same whenever the request is, and another for each of several equal calls.

A gateway that asks three times for one picture, because the vendor draws one at a time, wants three pictures.
"""

from __future__ import annotations

import hashlib
from contextvars import ContextVar

#: Which of several equal calls is being answered; a task remembers on which occasion it began.
occasion: ContextVar[str] = ContextVar("occasion", default="")


def seed_from(*parts: str) -> int:
    """A seed (31 bits) that is the same whenever the parts and the occasion are, for whoever names none."""
    whole = (*parts, now) if (now := occasion.get()) else parts
    return int.from_bytes(hashlib.sha256("\0".join(whole).encode()).digest()[:4]) >> 1
