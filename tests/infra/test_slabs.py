"""Warm memory: bounded, its taker's alone, and never made anew while there is some."""

from __future__ import annotations

from pictura.infra.slabs import SLAB_BYTES, Slabs


def test_there_are_so_many_and_no_more() -> None:
    slabs = Slabs(3)
    first = slabs.take(2)
    assert first is not None and [len(slab) for slab in first] == [SLAB_BYTES, SLAB_BYTES]
    assert slabs.take(2) is None
    assert slabs.take(0) == []
    last = slabs.take(1)
    assert last is not None and slabs.take(1) is None and slabs.out == 3
    slabs.give_back(first)
    assert slabs.out == 1
    again = slabs.take(2)
    assert again is not None and {id(slab) for slab in again} == {id(slab) for slab in first}


def test_no_two_have_the_same() -> None:
    slabs = Slabs(4)
    taken = (slabs.take(1) or []) + (slabs.take(3) or [])
    for number, slab in enumerate(taken):
        slab[:] = bytes([number]) * SLAB_BYTES
    assert [slab[0] for slab in taken] == [0, 1, 2, 3]
