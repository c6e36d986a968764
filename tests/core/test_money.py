"""Money: dollars in, micro-dollars inside, dollars out."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pictura.core.errors import BadRequest
from pictura.core.money import dollars, nanos_to_micros, per_million, show, usd


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


@pytest.mark.parametrize("amount", ["", "four", "1,5", "$1", "NaN", "sNaN", "Infinity", "-Infinity", "1e40", "1e15"])
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
