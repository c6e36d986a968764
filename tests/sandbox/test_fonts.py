import unicodedata

import pytest
import pyvips

from pictura.sandbox.fonts import covered, readable, typeset


def ink(text: str, size: float = 20, width: int = 400, lines: int = 4) -> pyvips.Image:
    return typeset(text, size, width, lines)


def same(first: pyvips.Image, second: pyvips.Image) -> bool:
    return (first.width, first.height) == (second.width, second.height) and (first - second).abs().max() == 0


@pytest.mark.parametrize(
    "text", ["The quick fox, 42 × “é”", "雪山脚下的小村庄，炊烟", "繁體中文測試", "こんにちは", "한국의 가을", "Привет"]
)
def test_what_the_face_covers_stays(text: str) -> None:
    assert readable(text) == text


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("a 🦊 in\n the  snow", "a [fox face] in the snow"),
        ("👍🏽 👨‍👩‍👧", "[thumbs up sign] [man][woman][girl]"),
        ("🇨🇳 1️⃣", "CN 1"),
        ("مرحبا بالعالم!", "[arabic]!"),
        ("𝓗𝓮𝓵𝓵𝓸 ά", "Hello α"),
        ("囍字", "〓字"),
        ("a\x00b\u202ec\u00add\ud800", "abcd"),
        ("\u3000\u200b\xa0", ""),
    ],
)
def test_what_it_lacks_is_told_in_words(text: str, told: str) -> None:
    assert readable(text) == told


def test_every_covered_character_has_a_glyph_of_its_own() -> None:
    gb2312 = {bytes((row, cell)).decode("gb2312") for row in range(0xB0, 0xD7) for cell in range(0xA1, 0xFA)}
    assert len(gb2312) == 39 * 89
    assert covered().issuperset(map(ord, gb2312))
    assert not same(ink("雪"), ink("山"))


def test_all_that_is_left_has_ink() -> None:
    odd = [chr(code) for code in covered() if unicodedata.category(chr(code))[0] in "CMZ"]
    for text in filter(None, map(readable, odd)):
        assert ink(text).max() == 255


def test_markup_is_text() -> None:
    assert ink("<b>a</b>").width > ink("a").width * 3
    assert not same(ink("&amp;"), ink("&"))


def test_lines_break_at_the_width_and_stack() -> None:
    one, four = ink("word"), ink("word " * 200)
    assert four.width <= 400
    assert one.height * 3 < four.height < one.height * 6
    assert ink("雪" * 200).height == four.height
    assert ink("w" * 300).width <= 400


@pytest.mark.parametrize("word", ["word ", "雪"])
def test_what_is_too_long_ends_in_dots_however_long_it_is(word: str) -> None:
    assert same(ink(word * 400), ink(word * 40_000))
    assert not same(ink(word * 400, lines=2), ink(word * 400, lines=3))


def test_the_size_is_that_of_the_letters() -> None:
    assert ink("雪", size=40).width == pytest.approx(ink("雪", size=20).width * 2, abs=2)
