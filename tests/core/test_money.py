"""Money: dollars in, micro-dollars inside, dollars out."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pictura.core.errors import BadRequest
from pictura.core.money import USD, Currency, dollars, exact, nanos_to_micros, per_million, show, usd


@pytest.mark.parametrize(
    ("amount", "micros"),
    [
        ("0.04", 40_000),
        ("12.50", 12_500_000),
        (" 3 ", 3_000_000),
        ("-1", -1_000_000),
        ("0.0000005", 1),
        ("0.00000049", 0),
        (7, 7_000_000),
        (Decimal("0.1"), 100_000),
    ],
)
def test_dollars_as_people_write_them(amount: str | int | Decimal, micros: int) -> None:
    assert usd(amount) == micros


@pytest.mark.parametrize(
    "amount", ["", "four", "1,5", "$1", "NaN", "sNaN", "Infinity", "-Infinity", "1e40", "1e15", "٣", "３", "1_0"]
)
def test_what_is_no_amount_is_refused(amount: str) -> None:
    with pytest.raises(BadRequest, match="dollars"):
        usd(amount)


@given(st.text(max_size=20))
def test_any_text_is_an_amount_or_refused(text: str) -> None:
    try:
        assert abs(usd(text)) < 2**63
    except BadRequest:
        pass


def test_rates_are_whole_nano_dollars() -> None:
    assert per_million("2.5") == 2_500
    assert per_million("0.075") == 75


@pytest.mark.parametrize(("nanos", "micros"), [(0, 0), (499, 0), (500, 1), (1_499, 1), (1_500, 2)])
def test_half_a_micro_dollar_goes_up(nanos: int, micros: int) -> None:
    assert nanos_to_micros(nanos) == micros


@pytest.mark.parametrize(
    ("micros", "text"),
    [
        (0, "$0.00"),
        (40_000, "$0.04"),
        (-40_000, "-$0.04"),
        (1_234_567_890, "$1,234.56789"),
        (1, "$0.000001"),
        (500_000, "$0.50"),
    ],
)
def test_money_for_people(micros: int, text: str) -> None:
    assert show(micros) == text


@given(st.integers(-(10**15), 10**15))
def test_money_survives_being_shown_and_read(micros: int) -> None:
    assert usd(show(micros).replace("$", "").replace(",", "")) == micros
    assert usd(str(Decimal(repr(dollars(micros))))) == micros


# -- other currencies --

YUAN = Currency("CNY", "6.80", "2026-11-20", "a test")


@pytest.mark.parametrize(
    ("amount", "rate", "micros"),
    [
        ("0.3", "6.80", 44_118),  # 44117.6…
        ("0.25", "7.10", 35_211),  # 35211.2…
        ("6.80", "6.80", 1_000_000),
        ("0.0000034", "6.80", 1),  # half a micro-dollar goes up
        ("0.0000033", "6.80", 0),
        ("100", "0.92", 108_695_652),
        ("0", "6.80", 0),
    ],
)
def test_an_amount_becomes_dollars_and_is_rounded_once(amount: str, rate: str, micros: int) -> None:
    assert Currency("CNY", rate).micros(amount) == micros


def test_tokens_in_another_currency() -> None:
    assert YUAN.nanos("10") == 1_471  # 1470.6 nano-dollars
    assert USD.nanos("0.0375") == 38


@pytest.mark.parametrize(
    "amount", ["", "-1", "+1", "1e3", "NaN", "¥0.3", "0.3元", "1,5", "1.", ".5", "1" * 10, "٣", "０.３"]
)
def test_what_is_no_amount_of_another_currency(amount: str) -> None:
    with pytest.raises(BadRequest, match="is not an amount"):
        YUAN.micros(amount)


@pytest.mark.parametrize("rate", ["0", "0.00", "-7", "", "seven"])
def test_what_is_no_rate(rate: str) -> None:
    with pytest.raises(BadRequest):
        Currency("CNY", rate).micros("1")


@given(st.integers(0, 10**9), st.integers(1, 10**7))
def test_the_published_amount_is_found_again(parts: int, rate: int) -> None:
    # Below a hundred for a dollar and to a thousandth, which is what vendors write.
    currency = Currency("XYZ", exact(rate % 10**8 + 1, 10**6))
    published = exact(parts, 10**3)
    assert Decimal(currency.published(currency.micros(published))) == Decimal(published)


@pytest.mark.parametrize(
    ("amount", "unit", "text"),
    [(40_000, 10**6, "0.04"), (0, 10**6, "0.00"), (1, 10**6, "0.000001"), (30_000, 10**9, "0.00003")],
)
def test_dollars_as_text_for_programs(amount: int, unit: int, text: str) -> None:
    assert exact(amount, unit) == text
