import xml.etree.ElementTree as ElementTree

import pytest

from pictura.sandbox.paintings import SUBJECTS, Subject, blossoms, called_for, city, mountains, paint, sea
from pictura.sandbox.palettes import EMBER, INK, NIGHT, PALETTES, WINTER


@pytest.mark.parametrize("word", [subject.words.split()[0] for subject in SUBJECTS])
@pytest.mark.parametrize("size", [(640, 640), (64, 2048), (2048, 64), (1, 1)], ids=str)
def test_every_subject_is_an_svg_of_the_size_asked_for(word: str, size: tuple[int, int]) -> None:
    svg, _ = paint(word, 7, "any", *size)
    root = ElementTree.fromstring(svg)
    assert (root.get("width"), root.get("height")) == (str(size[0]), str(size[1]))
    assert len(svg) < 2_000_000
    assert "nan" not in svg and "inf" not in svg


@pytest.mark.parametrize(
    ("prompt", "painter"),
    [
        ("Two boats on the sea", sea),
        ("research of the oceanic kind", None),
        ("雪山脚下的小村庄", mountains),
        ("neon city street with a lantern", city),
        ("BUTTERFLY, garden", blossoms),
    ],
)
def test_a_prompt_gets_the_subject_it_names(prompt: str, painter: object) -> None:
    chosen: list[Subject] = called_for(prompt, SUBJECTS)
    assert [subject.paint for subject in chosen] == ([painter] if painter else [subject.paint for subject in SUBJECTS])


@pytest.mark.parametrize(
    ("prompt", "palette"),
    [("a fox at midnight", NIGHT), ("水墨竹林，国画", INK), ("a fire dragon", EMBER), ("snow", WINTER)],
)
def test_a_prompt_gets_the_mood_it_names(prompt: str, palette: object) -> None:
    assert called_for(prompt, PALETTES) == [palette]
    assert paint(prompt, 3, "any", 64, 64)[1] is palette


def test_words_seed_and_model_decide_and_nothing_else() -> None:
    first = paint("hm", 1, "a", 64, 64)
    assert first == paint("hm", 1, "a", 64, 64)
    others = [paint("hm.", 1, "a", 64, 64), paint("hm", 2, "a", 64, 64), paint("hm", 1, "b", 64, 64)]
    assert all(other[0] != first[0] for other in others)


def test_many_seeds_reach_every_subject_and_palette() -> None:
    assert {id(paint("hm", seed, "a", 8, 8)[1]) for seed in range(80)} == {id(palette) for palette in PALETTES}
