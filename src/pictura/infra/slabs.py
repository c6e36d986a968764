"""Warm memory: pages that were touched once and are written over again and again.

A page that the kernel hands out anew, for a large string of bytes or for its cache of a file, costs several times what
filling it costs, most of all on a virtual machine. A picture of 1.4 MB is 340 of them.
"""

from __future__ import annotations

import mmap

SLAB_BYTES = 1024 * 1024
#: Enough for as many pictures of 1.4 MB as may be in transfer at once, and for those that are just being answered.
SLABS = 80


class Slabs:
    """So many slabs at the most, made when they are first needed. Each is its taker's alone until it is given back."""

    def __init__(self, most: int = SLABS) -> None:
        #: How many their takers have not given back.
        self.out = 0
        self._left = most
        self._free: list[memoryview] = []

    def take(self, count: int) -> list[memoryview] | None:
        """So many, or None while others have them. What they hold is what their last taker left there."""
        if count > len(self._free) + self._left:
            return None
        self.out += max(0, count)
        return [self._free.pop() if self._free else self._made() for _ in range(count)]

    def give_back(self, slabs: list[memoryview]) -> None:
        self.out -= len(slabs)
        self._free += slabs

    def _made(self) -> memoryview:
        self._left -= 1
        return memoryview(mmap.mmap(-1, SLAB_BYTES))
