"""From what an operator says of a model to its card."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from pictura.core.errors import BadRequest
from pictura.core.model import Anything, Choice, Inputs, Mask, ModelCard, Prompt, Source, Span, Words
from pictura.core.money import Currency, usd
from pictura.core.price import (
    Order,
    PerMegapixel,
    PerPicture,
    PerToken,
    Price,
    PriceList,
    Row,
    TokenFormula,
    TokenList,
    bill,
)
from pictura.core.size import AUTO, FreePixels, ListedPixels, OwnSize, Shapes, Size, Sizes, fit, parse
from pictura.infra.config import ModelInputs, ModelParts, ModelPrice, PriceRow, SizeWindow, TokenRow
from pictura.store.parts import card, price

START = ModelCard(
    id="fox",
    native="fox-1",
    aliases=("vulpes",),
    status="deprecated",
    ends="2027-01-01",
    released="2026-01-01",
    modes=("generate", "edit"),
    prompt=Prompt(max_chars=800),
    sizes=FreePixels(max_edge=2048),
    max_n=2,
    inputs=Inputs(count=2, formats=("png",), max_bytes=7, min_edge=300, max_ratio=2.5),
    outputs=("png", "webp"),
    params={"seed": Span(0, 9), "style": Words()},
    price=PerPicture(40_000),
    price_source=Source("a page", "2026-11"),
    source=Source("a test", "2026-11-20"),
    notes="red",
)
FORMULA = TokenFormula({"low": 16, "high": 96})
PER_TOKEN = PerToken(text_in=1, image_in=1, image_out=1, output=FORMULA)


def made(id: str = "fox", start: ModelCard = START, **said: Any) -> ModelCard:
    return card(id, ModelParts(**said), start)


# -- parts --


def test_nothing_said_changes_nothing() -> None:
    assert made() == START


@pytest.mark.parametrize(
    ("said", "changed"),
    [
        ({"status": "live", "ends": "", "notes": "grey"}, {"status": "live", "ends": "", "notes": "grey"}),
        ({"released": "2025-05-05"}, {"released": "2025-05-05", "released_known": True}),
        ({"aliases": ("zorro",)}, {"aliases": ("zorro",)}),
        ({"aliases": ()}, {"aliases": ()}),
        ({"prompt": "none"}, {"prompt": Prompt("none", 800)}),
        ({"max_prompt_chars": 9}, {"prompt": Prompt("required", 9)}),
        ({"max_n": 4, "fan_out": False}, {"max_n": 4, "fan_out": False}),
        ({"mask": True}, {"mask": Mask()}),
        ({"mask": False}, {"mask": None}),
        ({"outputs": ("jpeg",), "transparent": True}, {"outputs": ("jpeg",), "transparent": True}),
        (
            {"inputs": ModelInputs(count=5, required=True)},
            {"inputs": Inputs(count=5, formats=("png",), max_bytes=7, required=True, min_edge=300, max_ratio=2.5)},
        ),
        (
            {"params": {"style": False, "raw": True, "seed": Span(0, 99)}},
            {"params": {"seed": Span(0, 99), "raw": Anything()}},
        ),
        ({"inputs": ModelInputs(least=2)}, {"inputs": msgspec.structs.replace(START.inputs, least=2)}),
        (
            {"inputs": ModelInputs(min_edge=0, max_pixels=9)},
            {"inputs": msgspec.structs.replace(START.inputs, min_edge=0, max_pixels=9)},
        ),
        ({"price_source": "our contract"}, {"price_source": Source("our contract", "", "the operator")}),
    ],
)
def test_what_is_said_stands_in_the_place_of_what_was(said: dict[str, Any], changed: dict[str, Any]) -> None:
    assert made(**said) == msgspec.structs.replace(START, **changed)


def test_what_can_no_longer_be_said_need_not_be() -> None:
    needy = msgspec.structs.replace(START, required=(("style", "seed"), ("style",), ("mask",)), mask=Mask())
    assert made(start=needy).required == needy.required
    assert made(start=needy, params={"style": False}, mask=False).required == (("style", "seed"),)


def test_a_model_of_another_id_is_another_model() -> None:
    new = made("wolf")
    assert (new.id, new.native, new.imitated, new.aliases) == ("wolf", "fox-1", "fox-1", ())
    assert (new.status, new.ends, new.price, new.sizes) == ("live", "", START.price, START.sizes)
    assert made("wolf", msgspec.structs.replace(START, native="")).native == "fox"


def test_the_sandbox_knows_a_model_by_the_name_it_always_had() -> None:
    deployed = made(native="ep-2026")
    assert (deployed.native, deployed.imitated) == ("ep-2026", "fox-1")
    assert set(deployed.names) == {"ep-2026", "fox", "vulpes"}
    again = card("den", ModelParts(native="ep-2027"), deployed)
    assert (again.native, again.imitated) == ("ep-2027", "fox-1")
    unknown = msgspec.structs.replace(START, imitated=None)
    assert made("den", unknown).imitated is None


@pytest.mark.parametrize(
    ("said", "param", "says"),
    [
        ({"aliases": ("a b",)}, "aliases", "without blanks"),
        ({"native": "\n"}, "native", "without blanks"),
        ({"outputs": ("tga",)}, "outputs", "'tga' is no picture format"),
        ({"outputs": ()}, "outputs", "no picture format"),
        ({"inputs": ModelInputs(formats=("doc",))}, "inputs.formats", "'doc' is no picture format"),
        ({"inputs": ModelInputs(count=0)}, "inputs.count", "fox edits"),
        ({"inputs": ModelInputs(max_edge=299)}, "inputs", "a least is above its most"),
        ({"inputs": ModelInputs(count=0), "modes": ("generate",), "mask": True}, "mask", "takes a mask"),
        ({"modes": ()}, "modes", "does nothing"),
        ({"params": {"size": Words()}}, "params.size", "a field of the card"),
        ({"params": {"seed": Span(9, 0)}}, "params.seed", "min is above max"),
        ({"params": {"style": Choice(())}}, "params.style", "values is empty"),
        ({"params": {"style": Choice(("a",), "b")}}, "params.style", "default none of them"),
    ],
)
def test_what_cannot_be_is_refused(said: dict[str, Any], param: str, says: str) -> None:
    with pytest.raises(BadRequest) as caught:
        made(**said)
    assert caught.value.param == param
    assert says in caught.value.message


def test_an_id_is_printable() -> None:
    with pytest.raises(BadRequest, match="id must be"):
        made("a fox")


# -- sizes --


@pytest.mark.parametrize(
    ("said", "rule"),
    [
        ({"sizes": ("1024×1024", "512x512")}, ListedPixels(values=("1024x1024", "512x512"), default="1024x1024")),
        (
            {"sizes": ("1024x1024", "512x512"), "default_size": "512x512"},
            ListedPixels(values=("1024x1024", "512x512"), default="512x512"),
        ),
        ({"sizes": ("1:1", "2k")}, Shapes(aspects=("1:1",), tiers=("2K",), default_aspect="")),
        (
            {"sizes": ("1:1", "1K", "2K"), "default_size": "2K"},
            Shapes(aspects=("1:1",), tiers=("1K", "2K"), default_aspect="", default_tier="2K"),
        ),
        ({"sizes": ()}, OwnSize()),
        ({"window": SizeWindow(step=8, max_pixels=2**20)}, FreePixels(step=8, max_pixels=2**20)),
        (
            {"window": SizeWindow(max_edge=2048), "sizes": ("1024x1024", "2K"), "default_size": "1024x1024"},
            FreePixels(max_edge=2048, presets=("1024x1024",), tiers=("2K",), default="1024x1024", auto=False),
        ),
        ({"default_size": "640x480"}, FreePixels(max_edge=2048, default="640x480", auto=False)),
    ],
)
def test_sizes_as_people_write_them(said: dict[str, Any], rule: Sizes) -> None:
    assert made(**said).sizes == rule
    fit(AUTO, rule)


@pytest.mark.parametrize(
    ("said", "says"),
    [
        ({"sizes": ("large",)}, "'large' is not a size"),
        ({"sizes": ("1024x1024", "1:1")}, "and not both"),
        ({"window": SizeWindow(), "sizes": ("1:1",)}, "aspects follow from it"),
        ({"window": SizeWindow(max_edge=512), "sizes": ("1024x1024",)}, "no side may exceed 512"),
        ({"window": SizeWindow(min_edge=9, max_edge=8)}, "nothing fits"),
        ({"window": SizeWindow(min_pixels=9, max_pixels=8)}, "nothing fits"),
        ({"sizes": ("1:1",), "default_size": "16:9"}, "allowed: auto, 1:1"),
        ({"sizes": ("64x64",), "default_size": "65x65"}, "allowed: 64x64"),
    ],
)
def test_sizes_that_cannot_be(said: dict[str, Any], says: str) -> None:
    with pytest.raises(BadRequest, match=says):
        made(**said)


# -- prices --


@pytest.mark.parametrize(
    ("said", "of"),
    [
        (ModelPrice(per_picture="0.04"), PerPicture(40_000)),
        (ModelPrice(per_picture="0"), PerPicture(0)),
        (ModelPrice(per_picture="0.04", per_input="0.001"), PerPicture(40_000, 1_000)),
        (
            ModelPrice(
                rows=(PriceRow(amount="0.1", quality="hd", size="1024x1024"), PriceRow(amount="0.2", size="2k"))
            ),
            PriceList((Row(100_000, "hd", "1024x1024"), Row(200_000, "", "2K"))),
        ),
        (ModelPrice(first_megapixel="0.03", further_megapixel="0.015"), PerMegapixel(30_000, 15_000)),
        (ModelPrice(first_megapixel="0.03", per_input="0.01"), PerMegapixel(30_000, 30_000, 10_000)),
        (
            ModelPrice(image_out="30", text_in="5", image_in="8", cached_in="1.25", text_out="10"),
            PerToken(text_in=5_000, image_in=8_000, image_out=30_000, cached_in=1_250, text_out=10_000, output=FORMULA),
        ),
        (
            ModelPrice(image_out="30", text_in="0.0375", image_in="0", output_tokens=(TokenRow(tokens=1290),)),
            PerToken(text_in=38, image_in=0, image_out=30_000, output=TokenList((Row(1290),))),
        ),
    ],
)
def test_prices_as_people_write_them(said: ModelPrice, of: Price) -> None:
    assert price(said, start=PER_TOKEN) == of


def test_a_price_in_another_currency_keeps_its_rate() -> None:
    said = ModelPrice(per_picture="0.3", per_input="0.01", currency="CNY", rate="6.80", rate_date="2026-11-20")
    priced = made(price=said, price_source="our contract")
    assert priced.price == PerPicture(44_118, 1_471)
    assert priced.currency == Currency("CNY", "6.80", "2026-11-20", "our contract")
    assert priced.price_source == Source("our contract", "", "the operator")
    assert priced.currency.published(44_118) == "0.30"
    # Rounded once, for each picture: four pictures and two inputs.
    assert bill(priced.price, Order(sizes=(Size(width=64, height=64),) * 4, inputs=2)) == 4 * 44_118 + 2 * 1_471


def test_a_price_in_dollars_takes_the_currency_away() -> None:
    yuan = msgspec.structs.replace(START, currency=Currency("CNY", "6.80"))
    priced = made(start=yuan, price=ModelPrice(per_picture="0.05"))
    assert (priced.currency, priced.price, priced.agreed) == (None, PerPicture(50_000), True)
    assert not made(start=yuan, notes="x").agreed
    assert priced.price_source is not None and priced.price_source.name == "the operator's own price"


@pytest.mark.parametrize(
    ("said", "param", "says"),
    [
        ({}, "price", "price is empty"),
        ({"per_picture": "1", "image_out": "1"}, "price", "says per_picture and image_out"),
        ({"per_picture": "cheap"}, "price.per_picture", "'cheap' is not an amount"),
        ({"per_picture": "-1"}, "price.per_picture", "without a sign"),
        ({"per_picture": "$1"}, "price.per_picture", "or a currency"),
        ({"per_picture": "1", "per_input": "x"}, "price.per_input", "'x' is not an amount"),
        ({"per_picture": "1", "text_in": "5"}, "price.text_in", "means nothing beside per_picture"),
        ({"per_picture": "1", "further_megapixel": "5"}, "price.further_megapixel", "means nothing"),
        ({"image_out": "1", "per_input": "5"}, "price.per_input", "means nothing beside image_out"),
        ({"image_out": "1", "image_in": "1"}, "price.text_in", "is missing"),
        ({"image_out": "1", "image_in": "1", "text_in": "1"}, "price.output_tokens", "is missing"),
        ({"rows": (PriceRow(amount="1", size="16:9"),)}, "price", "'16:9' says neither"),
        ({"rows": (PriceRow(amount="1", size="big"),)}, "price", "is not a size"),
        ({"rows": (PriceRow(amount="free"),)}, "price.rows", "'free' is not an amount"),
        ({"per_picture": "1", "currency": "CNY"}, "price.rate", "how many CNY one dollar is"),
        ({"per_picture": "1", "currency": "CNY", "rate": "0"}, "price.rate", "makes no dollars"),
        ({"per_picture": "1", "rate": "7"}, "price.rate", "prices in dollars have none"),
    ],
)
def test_a_price_that_cannot_be(said: dict[str, Any], param: str, says: str) -> None:
    with pytest.raises(BadRequest) as caught:
        made(price=ModelPrice(**said))
    assert (caught.value.param, says in caught.value.message) == (param, True), caught.value.message


def test_a_price_for_each_quality_and_size_is_the_one_that_is_billed() -> None:
    rows = [("low", "1024x1024", "0.011"), ("high", "1024x1024", "0.167"), ("high", "1024x1536", "0.25")]
    said = ModelPrice(rows=tuple(PriceRow(quality=q, size=s, amount=a) for q, s, a in rows))
    for quality, size, amount in rows:
        order = Order(sizes=(parse(size),) * 3, quality=quality)
        assert bill(price(said), order) == 3 * usd(amount)
