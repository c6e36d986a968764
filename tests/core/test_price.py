"""Prices: what is held before, what is settled after, to the micro-dollar."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pictura.core.price import (
    Free,
    Order,
    PerMegapixel,
    PerPicture,
    PerToken,
    Price,
    PriceList,
    Row,
    TokenFormula,
    TokenList,
    Usage,
    bill,
    estimate,
    quote,
)
from pictura.core.size import AUTO, Size, parse

GPT_IMAGE_2 = TokenFormula({"low": 16, "medium": 48, "high": 96})
PER_TOKEN = PerToken(text_in=5_000, image_in=8_000, image_out=30_000, output=GPT_IMAGE_2, cached_in=1_250)
DALLE_3 = PriceList(
    (
        Row(40_000, "standard", "1024x1024"),
        Row(80_000, "standard", "1792x1024"),
        Row(80_000, "hd", "1024x1024"),
        Row(120_000, "hd", "1792x1024"),
    ),
    input_amount=7,
)
BY_TIER = PriceList((Row(134_000, "", "1K"), Row(134_000, "", "2K"), Row(240_000, "", "4K")))
FLUX_2 = PerMegapixel(30_000, 15_000, 15_000)


def order(
    *sizes: str,
    quality: str = "",
    inputs: int = 0,
    previews: int = 0,
    prompt_bytes: int = 0,
    usage: Usage | None = None,
) -> Order:
    asked = tuple(parse(text) for text in sizes)
    return Order(sizes=asked, quality=quality, inputs=inputs, previews=previews, prompt_bytes=prompt_bytes, usage=usage)


@pytest.mark.parametrize(
    ("quality", "size", "tokens"),
    [
        ("low", "1024x1024", 196),
        ("medium", "1024x1024", 1756),
        ("high", "1024x1024", 7024),
        ("low", "1536x1024", 158),
        ("high", "1024x1536", 5488),
        ("high", "3840x2160", 13342),
        ("", "1024x1024", 7024),
        ("auto", "auto", 7024),
        ("high", "2K", 14272),
    ],
)
def test_the_token_formula(quality: str, size: str, tokens: int) -> None:
    assert GPT_IMAGE_2.tokens(parse(size), quality) == tokens


def test_the_formula_does_not_care_which_side_is_longer() -> None:
    for quality in ("low", "medium", "high"):
        assert GPT_IMAGE_2.tokens(parse("3840x2160"), quality) == GPT_IMAGE_2.tokens(parse("2160x3840"), quality)


def test_a_list_of_tokens() -> None:
    listed = TokenList((Row(272, "low", "1024x1024"), Row(408, "low", "1024x1536"), Row(4160, "high", "1024x1024")))
    assert listed.tokens(parse("1024x1024"), "low") == 272
    assert listed.tokens(parse("1536x1024"), "low") == 408
    assert listed.tokens(AUTO, "low") == 408
    assert listed.tokens(AUTO, "") == 4160


@pytest.mark.parametrize(
    ("price", "of", "micros"),
    [
        (Free(), order("1024x1024", inputs=3), 0),
        (PerPicture(40_000), order("1024x1024", "64x64"), 80_000),
        (PerPicture(40_000, 1_000), order("1024x1024", inputs=3), 43_000),
        (DALLE_3, order("1024x1024", quality="standard"), 40_000),
        (DALLE_3, order("1792x1024", quality="hd"), 120_000),
        (DALLE_3, order("1024x1792", quality="hd"), 120_000),
        (DALLE_3, order("1024x1024", "1024x1024", quality="hd", inputs=2), 160_014),
        (DALLE_3, order("1024x1024", quality="never heard of"), 80_000),
        (DALLE_3, order("auto", quality="standard"), 80_000),
        (DALLE_3, order("auto"), 120_000),
        (BY_TIER, order("1K"), 134_000),
        (BY_TIER, order("5504x3072"), 240_000),
        (BY_TIER, order("1344x768"), 134_000),
        (BY_TIER, order("16:9"), 240_000),
        (FLUX_2, order("1024x1024"), 30_000),
        (FLUX_2, order("1025x1024"), 45_000),
        (FLUX_2, order("2048x2048", inputs=2), 105_000),
        (FLUX_2, order("16x16"), 30_000),
        (FLUX_2, order("auto"), 30_000),
    ],
)
def test_what_a_picture_costs(price: Price, of: Order, micros: int) -> None:
    assert bill(price, of) == micros
    assert quote(price, of) == micros


def test_a_row_for_any_quality_serves_all() -> None:
    assert bill(PriceList((Row(5, "", "1K"), Row(9, "hd", "1K"))), order("1K", quality="standard")) == 5
    assert bill(PriceList((Row(5, "standard"), Row(9, "hd"))), order("1024x1024", quality="hd")) == 9
    assert bill(PriceList((Row(5, "standard"), Row(9, "hd"))), order("1024x1024", quality="never heard of")) == 9


def test_tokens_as_the_vendor_counted_them() -> None:
    counted = Usage(text_in=100, image_in=10, cached_in=40, image_out=1756)
    # 60 x 5000 + 40 x 1250 + 10 x 8000 + 1756 x 30000 nano-dollars
    assert bill(PER_TOKEN, order("1024x1024", usage=counted)) == 53_110


def test_more_cached_than_read_is_not_money_back() -> None:
    assert bill(PER_TOKEN, order("1024x1024", usage=Usage(text_in=10, cached_in=10_000))) == 13


def test_what_was_cached_costs_as_much_where_no_other_rate_is_known() -> None:
    whole = msgspec.structs.replace(PER_TOKEN, cached_in=None)
    assert bill(whole, order("1K", usage=Usage(text_in=100, cached_in=100))) == 500


def test_what_was_cached_may_cost_nothing() -> None:
    free = msgspec.structs.replace(PER_TOKEN, cached_in=0)
    assert bill(free, order("1K", usage=Usage(text_in=100, cached_in=60))) == 200


def test_a_prompt_whose_every_byte_is_a_token_was_held_for() -> None:
    asked = order("1K", quality="low", prompt_bytes=1_000)
    counted = Usage(text_in=1_000, image_out=GPT_IMAGE_2.tokens(parse("1K"), "low"))
    assert quote(PER_TOKEN, asked) >= bill(PER_TOKEN, msgspec.structs.replace(asked, usage=counted))


def test_the_largest_input_was_held_for() -> None:
    asked = order("1K", quality="low", inputs=2)
    counted = Usage(image_in=2 * PER_TOKEN.input_tokens, image_out=GPT_IMAGE_2.tokens(parse("1K"), "low"))
    assert quote(PER_TOKEN, asked) >= bill(PER_TOKEN, msgspec.structs.replace(asked, usage=counted))


def test_the_words_that_may_come_with_each_picture_are_held_for() -> None:
    talkative = msgspec.structs.replace(PER_TOKEN, text_out=10_000, words_out=1_000)
    asked = order("1K", "1K", "1K", quality="low")
    assert quote(talkative, asked) - quote(PER_TOKEN, asked) == 30_000


def test_previews_are_held_for_and_estimated() -> None:
    shown = msgspec.structs.replace(PER_TOKEN, preview=100)
    asked, silent = order("1K", "1K", quality="low", previews=3), order("1K", "1K", quality="low")
    for amount in (quote, bill):
        assert amount(shown, asked) - amount(shown, silent) == 2 * 3 * 100 * 30_000 // 1_000
        assert amount(PER_TOKEN, asked) == amount(PER_TOKEN, silent)


def test_a_fraction_is_rounded_once_and_half_goes_up() -> None:
    rate = PerToken(text_in=1, image_in=1, image_out=1, output=GPT_IMAGE_2)

    def nanos(count: int) -> int:
        return bill(rate, order("1K", usage=Usage(text_in=count // 2, image_out=count - count // 2)))

    assert [nanos(499), nanos(500), nanos(1499), nanos(1500)] == [0, 1, 1, 2]


def test_what_nobody_counted_is_estimated() -> None:
    guessed = estimate(PER_TOKEN, order("1024x1024", quality="low", inputs=2), input_tokens=1_000, text_tokens=25)
    assert guessed == Usage(text_in=25, image_in=2_000, image_out=196, estimated=True)
    billed = bill(PER_TOKEN, order("1024x1024", quality="low", inputs=2, prompt_bytes=100))
    assert billed == (25 * 5_000 + 2_000 * 8_000 + 196 * 30_000) // 1_000


def test_usages_add_up() -> None:
    total = Usage(text_in=1, image_in=2, cached_in=3) + Usage(text_out=4, image_out=5, estimated=True)
    assert total == Usage(text_in=1, image_in=2, cached_in=3, text_out=4, image_out=5, estimated=True)
    assert (total.total_in, total.total_out) == (3, 9)


def test_a_price_survives_being_stored() -> None:
    for price in (Free(), PerPicture(1), DALLE_3, FLUX_2, PER_TOKEN):
        assert msgspec.json.decode(msgspec.json.encode(price), type=Price) == price


# -- properties --

amounts = st.integers(0, 10_000_000)
qualities = st.sampled_from(["", "low", "high"])
sizes = st.sampled_from(["auto", "1024x1024", "1536x1024", "3840x2160", "64x2000", "16:9", "2K", "4K"]).map(parse)
pixels = st.builds(lambda w, h: Size(width=w, height=h), st.integers(16, 4096), st.integers(16, 4096))
rows = st.lists(st.builds(Row, amounts, qualities, st.sampled_from(["", "1K", "4K", "1536x1024"])), min_size=1).map(
    tuple
)
prices = st.one_of(
    st.just(Free()),
    st.builds(PerPicture, amounts, amounts),
    st.builds(PriceList, rows, amounts),
    st.builds(PerMegapixel, amounts, amounts, amounts),
    st.builds(
        PerToken,
        text_in=amounts,
        image_in=amounts,
        image_out=amounts,
        cached_in=st.none() | amounts,
        output=st.one_of(st.just(GPT_IMAGE_2), st.builds(TokenList, rows)),
    ),
)
orders = st.builds(
    Order,
    sizes=st.lists(sizes | pixels, min_size=1, max_size=4).map(tuple),
    quality=qualities,
    prompt_bytes=st.integers(0, 100_000),
    inputs=st.integers(0, 16),
)


@given(prices, orders)
def test_nothing_costs_more_than_was_held_for_it(price: Price, of: Order) -> None:
    assert quote(price, of) >= bill(price, of) >= 0


@given(rows, pixels, qualities)
def test_whatever_size_comes_of_auto_it_was_held(listed: tuple[Row, ...], came: Size, quality: str) -> None:
    price = PriceList(listed)
    asked = Order(sizes=(AUTO,), quality=quality)
    assert quote(price, asked) >= bill(price, msgspec.structs.replace(asked, sizes=(came,)))


@given(prices, orders)
def test_pictures_are_priced_one_by_one(price: Price, of: Order) -> None:
    bare = msgspec.structs.replace(of, inputs=0, prompt_bytes=0)
    alone = [bill(price, msgspec.structs.replace(bare, sizes=(size,))) for size in of.sizes]
    assert abs(bill(price, bare) - sum(alone)) <= len(alone)  # no more than one rounding each
