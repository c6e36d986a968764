"""Sizes: every spelling on every kind of model, and the rule that fits one into the other."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from pictura.core import size
from pictura.core.errors import BadRequest, Unsupported
from pictura.core.size import (
    AUTO,
    TIER_EDGE,
    FreePixels,
    ListedPixels,
    OwnSize,
    Shapes,
    Size,
    Sizes,
    Window,
    allowed,
    area,
    bounded,
    bounds,
    combine,
    distance,
    fit,
    nearest,
    outside,
    parse,
    ratio,
)

GPT_IMAGE_2 = FreePixels(
    step=16,
    min_pixels=655_360,
    max_pixels=8_294_400,
    max_edge=3840,
    max_ratio=3,
    presets=("1024x1024", "1536x1024", "1024x1536"),
)
SEEDREAM = FreePixels(
    min_pixels=921_600, max_pixels=16_777_216, max_ratio=16, tiers=("2K", "4K"), default="2K", auto=False
)
DALLE_3 = ListedPixels(values=("1024x1024", "1792x1024", "1024x1792"), default="1024x1024")
THREE = ListedPixels(values=("1024x1024", "1536x1024", "1024x1536"), auto=True)
GEMINI = Shapes(aspects=("1:1", "16:9", "9:16", "3:2", "21:9"), tiers=("1K", "2K", "4K"), default_tier="1K")
KLING = Shapes(aspects=("auto", "1:1", "16:9"), tiers=("1k", "2k"), default_aspect="auto")
ASPECTS_ALONE = Shapes(aspects=("1:1", "16:9"))
OWN = OwnSize(pixels="1024x1024")


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("", AUTO),
        (" Auto ", AUTO),
        ("adaptive", AUTO),
        ("1024x768", Size(width=1024, height=768)),
        ("1024 X 768", Size(width=1024, height=768)),
        ("1024×768", Size(width=1024, height=768)),
        ("1024*768", Size(width=1024, height=768)),
        ("16:9", Size(aspect="16:9")),
        ("016 : 09", Size(aspect="16:9")),
        ("2k", Size(tier="2K")),
        ("512", Size(tier="512")),
        ("0.5K", Size(tier="0.5K")),
        ("1080p", Size(tier="1080P")),
    ],
)
def test_every_spelling_is_read(text: str, found: Size) -> None:
    assert parse(text) == found


@pytest.mark.parametrize(
    "text",
    ["0x10", "10x0", "0:1", "9K", "0K", "big", "1024", "1024x", "-1x1", "1x1x1", "1:2:3", "１０２４x１０２４", "٣:٢"],
)
def test_what_is_no_size_is_refused_by_name(text: str) -> None:
    with pytest.raises(BadRequest, match=r"image_size .* is not a size; write 1024x1024") as caught:
        parse(text, "image_size")
    assert caught.value.param == "image_size"


@given(st.text(max_size=30))
def test_reading_any_text_gives_a_size_or_says_no(text: str) -> None:
    try:
        found = parse(text)
    except BadRequest:
        return
    assert parse(str(found)) == found


@pytest.mark.parametrize("tier", TIER_EDGE)
def test_every_tier_that_is_read_has_an_area(tier: str) -> None:
    assert area(parse(tier)) == TIER_EDGE[tier] ** 2


def test_every_tier_that_can_be_read_is_known() -> None:
    read = {tier for tier in (*(f"{n}K" for n in range(1, 9)), "512", "0.5K", "720P", "1080P") if parse(tier).tier}
    assert read == set(TIER_EDGE)


def test_a_size_shows_as_it_is_written() -> None:
    assert [str(parse(text)) for text in ("1024x768", "16:9", "2K", "auto")] == ["1024x768", "16:9", "2K", "auto"]
    assert str(Size(aspect="16:9", tier="2K")) == "16:9 2K"


def test_pixels_win_over_words() -> None:
    assert combine(parse("640x480"), parse("16:9"), parse("2K")) == parse("640x480")
    assert combine(AUTO, parse("16:9"), parse("2K")) == Size(aspect="16:9", tier="2K")
    assert combine(parse("2K"), parse("16:9"), AUTO) == Size(aspect="16:9", tier="2K")
    assert combine(AUTO, AUTO, AUTO) == AUTO


def words(text: str) -> Size:
    """`4K 16:9` as a client says it in two fields."""
    parts = [parse(word) for word in text.split()]
    return combine(AUTO, next((p for p in parts if p.aspect), AUTO), next((p for p in parts if p.tier), AUTO))


#: Kind of model, what is asked, what the vendor is asked for ("" = refused), what an adjusting router asks for.
TABLE: list[tuple[Sizes, str, str, str]] = [
    (GPT_IMAGE_2, "auto", "auto", "auto"),
    (GPT_IMAGE_2, "1024x1024", "1024x1024", "1024x1024"),
    (GPT_IMAGE_2, "3840x2160", "3840x2160", "3840x2160"),
    (GPT_IMAGE_2, "1000x1000", "", "992x992"),
    (GPT_IMAGE_2, "512x512", "", "816x816"),
    (GPT_IMAGE_2, "4096x4096", "", "2880x2880"),
    (GPT_IMAGE_2, "3200x800", "", "2768x928"),
    (GPT_IMAGE_2, "1:1", "1024x1024", "1024x1024"),
    (GPT_IMAGE_2, "3:2", "1248x832", "1248x832"),
    (GPT_IMAGE_2, "16:9", "1360x768", "1360x768"),
    (GPT_IMAGE_2, "9:16", "768x1360", "768x1360"),
    (GPT_IMAGE_2, "3:1", "1776x592", "1776x592"),
    (GPT_IMAGE_2, "4:1", "", "1776x592"),
    (GPT_IMAGE_2, "1K", "1024x1024", "1024x1024"),
    (GPT_IMAGE_2, "2K", "2048x2048", "2048x2048"),
    (GPT_IMAGE_2, "4K", "2880x2880", "2880x2880"),
    (GPT_IMAGE_2, "4K 16:9", "3840x2160", "3840x2160"),
    (GPT_IMAGE_2, "4K 9:16", "2160x3840", "2160x3840"),
    (GPT_IMAGE_2, "4K 21:9", "3840x1648", "3840x1648"),
    (GPT_IMAGE_2, "512", "", "816x816"),
    (GPT_IMAGE_2, "8K", "", "2880x2880"),
    (SEEDREAM, "auto", "2K", "2K"),
    (SEEDREAM, "2K", "2K", "2K"),
    (SEEDREAM, "4k", "4K", "4K"),
    (SEEDREAM, "3K", "", "2K"),
    (SEEDREAM, "1K", "", "2K"),
    (SEEDREAM, "2K 16:9", "2731x1536", "2731x1536"),
    (SEEDREAM, "3K 1:1", "", "2048x2048"),
    (SEEDREAM, "2048x1024", "2048x1024", "2048x1024"),
    (SEEDREAM, "100x100", "", "960x960"),
    (DALLE_3, "auto", "1024x1024", "1024x1024"),
    (DALLE_3, "1792x1024", "1792x1024", "1792x1024"),
    (DALLE_3, "7:4", "1792x1024", "1792x1024"),
    (DALLE_3, "14:8", "1792x1024", "1792x1024"),
    (DALLE_3, "16:9", "1792x1024", "1792x1024"),
    (DALLE_3, "9:16", "1024x1792", "1024x1792"),
    (DALLE_3, "1K", "1024x1024", "1024x1024"),
    (DALLE_3, "4K", "", "1024x1024"),
    (DALLE_3, "512x512", "", "1024x1024"),
    (THREE, "auto", "auto", "auto"),
    (THREE, "3:2", "1536x1024", "1536x1024"),
    (THREE, "1K 3:2", "1536x1024", "1536x1024"),
    (THREE, "1920x1080", "", "1536x1024"),
    (GEMINI, "auto", "auto", "auto"),
    (GEMINI, "16:9", "16:9", "16:9"),
    (GEMINI, "32:18", "16:9", "16:9"),
    (GEMINI, "2K", "2K", "2K"),
    (GEMINI, "4K 21:9", "21:9 4K", "21:9 4K"),
    (GEMINI, "2048x2048", "1:1 2K", "1:1 2K"),
    (GEMINI, "1024x1024", "1:1 1K", "1:1 1K"),
    (GEMINI, "1920x1080", "", "16:9 1K"),
    (GEMINI, "5:4", "", "3:2"),
    (GEMINI, "3K", "", "2K"),
    (GEMINI, "8K 16:9", "", "16:9 4K"),
    (KLING, "2K", "2k", "2k"),
    (KLING, "16:9 1K", "16:9 1k", "16:9 1k"),
    (KLING, "4K", "", "2k"),
    (ASPECTS_ALONE, "1024x1024", "1:1", "1:1"),
    (ASPECTS_ALONE, "2048x2048", "", "1:1"),
    (ASPECTS_ALONE, "2K", "", "auto"),
    (Shapes(tiers=("512", "1K")), "0.5K", "512", "512"),
    (Shapes(tiers=("512", "1K")), "16:9", "", "auto"),
    (OWN, "auto", "auto", "auto"),
    (OWN, "1024x1024", "auto", "auto"),
    (OWN, "2:2", "auto", "auto"),
    (OWN, "2048x2048", "", "auto"),
    (OwnSize(), "16:9", "", "auto"),
]


@pytest.mark.parametrize(("sizes", "asked", "fitted", "near"), TABLE)
def test_what_the_vendor_is_asked_for(sizes: Sizes, asked: str, fitted: str, near: str) -> None:
    wanted = words(asked) if " " in asked else parse(asked)
    assert str(nearest(wanted, sizes)) == near
    if fitted:
        assert str(fit(wanted, sizes)) == fitted
        return
    with pytest.raises(Unsupported) as caught:
        fit(wanted, sizes)
    assert caught.value.param == "size"
    assert caught.value.allowed == allowed(sizes)
    assert str(wanted) in caught.value.message


def test_a_preset_near_by_is_preferred() -> None:
    vendor = FreePixels(presets=("1344x768",))
    assert str(fit(parse("16:9"), vendor)) == "1344x768"
    assert str(fit(words("16:9 2K"), vendor)) == "2731x1536"  # the preset is too small to be called 2K


@pytest.mark.parametrize(
    ("asked", "why"),
    [
        ("1000x1024", "multiples of 16"),
        ("4000x2000", "no side may exceed 3840"),
        ("3840x3840", "may not exceed 8,294,400"),
        ("512x512", "must be at least 655,360"),
        ("3200x800", "at most 3 times the shorter"),
    ],
)
def test_the_broken_edge_of_the_window_is_named(asked: str, why: str) -> None:
    with pytest.raises(Unsupported, match=why):
        fit(parse(asked), GPT_IMAGE_2)


def test_a_side_that_is_too_short_is_named() -> None:
    with pytest.raises(Unsupported, match="no side may be shorter than 256"):
        fit(parse("128x1024"), FreePixels(min_edge=256))


@pytest.mark.parametrize(
    ("window", "told"),
    [
        (Window(), ()),
        (Window(min_edge=300), ("sides of at least 300 pixels",)),
        (Window(max_edge=4999), ("sides of at most 4,999 pixels",)),
        (Window(min_edge=240, max_edge=8000, max_ratio=8), ("sides of 240 to 8,000 pixels", "aspects from 1:8 to 8:1")),
        (
            Window(max_pixels=36_000_000, max_ratio=2.5),
            ("at most 36,000,000 pixels in all", "aspects from 1:2.5 to 2.5:1"),
        ),
        (Window(max_ratio=1), ("squares only",)),
    ],
)
def test_a_window_in_words(window: Window, told: tuple[str, ...]) -> None:
    assert bounds(window) == told


def test_inside_a_window_lie_its_bounds() -> None:
    window = Window(min_edge=300, max_edge=750, min_pixels=225_000, max_pixels=225_000, max_ratio=2.5)
    assert outside(300, 750, window) == outside(750, 300, window) == outside(1, 99_999, Window()) == ""
    assert "shorter than 300" in outside(299, 750, window)
    assert "exceed 750" in outside(300, 751, window)
    assert "at least 225,000" in outside(300, 749, window)
    assert "not exceed 225,000" in outside(301, 750, window)
    assert "2.5 times" in outside(300, 751, Window(max_ratio=2.5))


def test_the_same_in_another_window() -> None:
    kind = FreePixels(step=8, max_edge=9, presets=("8x8",))
    assert bounded(kind, Window(min_edge=2)) == FreePixels(step=8, min_edge=2, presets=("8x8",))


def test_allowed_lists_what_can_be_written() -> None:
    assert allowed(SEEDREAM) == ("2K", "4K")
    assert allowed(THREE) == ("auto", "1024x1024", "1536x1024", "1024x1536")
    assert allowed(GEMINI)[:3] == ("auto", "1:1", "16:9")
    assert allowed(OWN) == ("auto",)


def test_distance_is_nothing_to_oneself_and_the_same_both_ways() -> None:
    one, other = parse("1024x1024"), parse("1792x1024")
    assert distance(one, one) == (0, 0)
    assert distance(one, other) == pytest.approx(distance(other, one))
    assert distance(parse("16:9"), other)[0] < distance(parse("16:9"), one)[0]


# -- properties --

sides = st.integers(1, 20_000)
spelled = st.one_of(
    st.just(AUTO),
    st.builds(lambda w, h: Size(width=w, height=h), sides, sides),
    st.builds(
        lambda w, h, tier: Size(aspect=f"{w}:{h}", tier=tier),
        st.integers(1, 99_999),
        st.integers(1, 99_999),
        st.sampled_from(["", *TIER_EDGE]),
    ),
    st.sampled_from([Size(tier=tier) for tier in TIER_EDGE]),
)
windows = st.builds(
    FreePixels,
    step=st.sampled_from([1, 2, 8, 16, 32, 64]),
    min_pixels=st.sampled_from([0, 65_536, 655_360, 921_600]),
    max_pixels=st.sampled_from([0, 1_048_576, 4_194_304, 8_294_400]),
    min_edge=st.sampled_from([0, 64, 256, 512]),
    max_edge=st.sampled_from([0, 1440, 2048, 3840]),
    max_ratio=st.sampled_from([0, 1, 2.5, 3, 16]),
    presets=st.sampled_from([(), ("1024x1024", "1344x768")]),
    tiers=st.sampled_from([(), ("1K", "2K"), ("2K", "4K")]),
    auto=st.booleans(),
    default=st.just("1024x1024"),
)
listings = st.builds(
    ListedPixels,
    values=st.lists(st.builds(lambda w, h: f"{w}x{h}", sides, sides), min_size=1, max_size=5).map(tuple),
    auto=st.booleans(),
)
shapes = st.builds(
    Shapes,
    aspects=st.lists(st.sampled_from(["auto", "1:1", "16:9", "9:21", "8:1"]), unique=True).map(tuple),
    tiers=st.lists(st.sampled_from(["512", "1K", "2k", "4K", "720P"]), unique=True).map(tuple),
)
kinds = st.one_of(windows, listings, shapes, st.sampled_from([OWN, OwnSize()]))


def inside(given_size: Size, sizes: Sizes) -> bool:
    """Would the vendor take it?"""
    if isinstance(sizes, FreePixels) and given_size.width:
        return not size._outside(given_size, sizes) or str(given_size) in (*sizes.presets, sizes.default)
    if isinstance(sizes, FreePixels):
        return given_size.tier in sizes.tiers if given_size.tier else given_size == AUTO and sizes.auto
    if isinstance(sizes, ListedPixels):
        return str(given_size) in sizes.values or (given_size == AUTO and sizes.auto)
    if isinstance(sizes, Shapes):
        return given_size.aspect in ("", *sizes.aspects) and given_size.tier in ("", *sizes.tiers)
    return given_size == AUTO


@given(spelled, kinds)
def test_what_fits_is_something_the_vendor_takes(asked: Size, sizes: Sizes) -> None:
    try:
        found = fit(asked, sizes)
    except Unsupported:
        return
    assert inside(found, sizes)


@given(spelled, kinds)
def test_the_nearest_is_always_something_the_vendor_takes(asked: Size, sizes: Sizes) -> None:
    assert inside(nearest(asked, sizes), sizes)


@given(spelled, kinds)
def test_the_nearest_is_the_exact_one_where_there_is_one(asked: Size, sizes: Sizes) -> None:
    try:
        exact = fit(asked, sizes)
    except Unsupported:
        assume(False)
    assert nearest(asked, sizes) == exact


@given(sides, sides, windows)
def test_pixels_are_taken_as_they_are_or_not_at_all(width: int, height: int, window: FreePixels) -> None:
    asked = Size(width=width, height=height)
    try:
        assert fit(asked, window) == asked
    except Unsupported:
        assert size._outside(asked, window)


@given(st.integers(1, 40), st.integers(1, 40), st.sampled_from(["", "1K", "2K", "4K"]))
def test_an_aspect_keeps_its_shape(wide: int, high: int, tier: str) -> None:
    assume(max(wide, high) <= 3 * min(wide, high))
    found = fit(Size(aspect=f"{wide}:{high}", tier=tier), GPT_IMAGE_2)
    shape = ratio(found)
    assert shape is not None
    assert abs(float(shape / Fraction(wide, high)) - 1) < 0.05


@given(spelled)
def test_a_size_survives_being_written_and_read(asked: Size) -> None:
    assume(not (asked.aspect and asked.tier))
    assert parse(str(asked)) == asked


def test_a_shape_beyond_the_window_becomes_the_most_that_it_lets_through_wide_or_tall() -> None:
    window = FreePixels(step=16, max_pixels=8_294_400, max_edge=3840, max_ratio=3)
    wide, tall = nearest(parse("10:1"), window), nearest(parse("1:10"), window)
    assert (2.8 < wide.width / wide.height <= 3) and (2.8 < tall.height / tall.width <= 3)
