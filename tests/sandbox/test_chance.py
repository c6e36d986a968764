from __future__ import annotations

from contextvars import copy_context

from pictura.sandbox.chance import occasion, seed_from


def test_the_same_parts_give_the_same_seed() -> None:
    assert seed_from("gpt", "a fox") == seed_from("gpt", "a fox")
    assert len({seed_from("gpt", "a fox"), seed_from("gpta", " fox"), seed_from("gpt", "a", "fox")}) == 3
    assert 0 <= seed_from("gpt", "a fox") < 2**31


def test_another_occasion_gives_another_seed() -> None:
    def on(number: str) -> int:
        occasion.set(number)
        return seed_from("gpt", "a fox")

    seeds = [copy_context().run(on, number) for number in ("0", "1", "1")]
    assert seeds[0] != seeds[1] == seeds[2]
    assert occasion.get() == ""
