"""A model as it is shown: fields as typed descriptors, prices line by line."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from pictura.core.capability import check
from pictura.core.datasheet import (
    FIELDS,
    Example,
    Parameter,
    Pictures,
    Pixels,
    Rate,
    examples,
    parameters,
    rates,
    required,
    sizes,
)
from pictura.core.errors import BadRequest
from pictura.core.model import Anything, Choice, Flag, Inputs, Mask, ModelCard, Prompt, Source, Span, Words
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
    bill,
)
from pictura.core.request import ImageRequest
from pictura.core.size import FreePixels, ListedPixels, OwnSize, Shapes, Size, Sizes, fit, parse

SOURCE = Source("a test", "2026-11-20")
WINDOW = FreePixels(step=16, max_pixels=2**22, min_edge=64, max_edge=2048, max_ratio=2, presets=("1024x1024",))
LISTED = ListedPixels(values=("1024x1024", "1792x1024"), default="1024x1024")
SHAPES = Shapes(aspects=("1:1", "16:9"), tiers=("1K", "2K"), default_tier="1K")
FORMULA = TokenFormula({"low": 16, "high": 96})


def card(**said: Any) -> ModelCard:
    return ModelCard(**{"id": "fox", "source": SOURCE, **said})


# -- fields --


@pytest.mark.parametrize(
    ("rule", "told"),
    [
        (OwnSize(), {}),
        (OwnSize(pixels="1024x1024"), {"size": Choice(("1024x1024",), "1024x1024")}),
        (SHAPES, {"aspect_ratio": Choice(("1:1", "16:9"), "1:1"), "resolution": Choice(("1K", "2K"), "1K")}),
        (Shapes(tiers=("2K",)), {"resolution": Choice(("2K",))}),
        (
            LISTED,
            {
                "size": Choice(("1024x1024", "1792x1024"), "1024x1024"),
                "aspect_ratio": Choice(("1:1", "16:9")),
                "resolution": Choice(("1K",)),
            },
        ),
    ],
)
def test_sizes_in_the_fields_that_clients_write(rule: Sizes, told: dict[str, Parameter]) -> None:
    assert sizes(rule) == told


def test_a_window_of_pixels() -> None:
    told = sizes(WINDOW)
    assert told["size"] == Pixels(
        values=("1024x1024",), default="auto", step=16, max_pixels=2**22, min_edge=64, max_edge=2048, max_ratio=2
    )
    aspects, tiers = told["aspect_ratio"], told["resolution"]
    assert isinstance(aspects, Choice) and isinstance(tiers, Choice)
    assert "2:1" in aspects.values and "21:9" not in aspects.values
    assert tiers.values == ("512", "1K", "2K", "3K")  # the last one comes as 2048x2048, as `fit` has it


@pytest.mark.parametrize("rule", [WINDOW, LISTED, SHAPES])
def test_every_aspect_and_tier_that_is_told_is_taken(rule: Sizes) -> None:
    for name in ("aspect_ratio", "resolution"):
        known = sizes(rule)[name]
        assert isinstance(known, Choice) and known.values
        for word in known.values:
            fit(parse(word), rule)


def test_a_model_that_only_draws() -> None:
    told = parameters(card(prompt=Prompt(max_chars=500), fan_out=False, max_n=4))
    assert told == {
        "prompt": Words(500),
        "n": Span(1, 4),
        "output_format": Choice(("png", "jpeg", "webp"), "png"),
        "output_compression": Span(0, 100),
    }


def test_a_model_that_draws_vectors() -> None:
    told = parameters(card(prompt=Prompt("none"), outputs=("svg",)))
    assert told == {"n": Span(1, 10), "output_format": Choice(("svg",), "svg")}


def test_a_model_that_takes_pictures_and_options() -> None:
    full = card(
        modes=("edit",),
        prompt=Prompt("none"),
        inputs=Inputs(count=3, formats=("png",), max_bytes=7, min_edge=300, max_ratio=2.5),
        mask=Mask(),
        outputs=("avif", "webp"),
        previews=True,
        params={"seed": Span(0, 9), "raw": Flag(), "tools": Anything()},
    )
    told = parameters(full)
    assert "prompt" not in told
    assert told["image"] == Pictures(1, 3, ("png",), 7, min_edge=300, max_ratio=2.5)
    assert told["mask"] == Pictures(0, 1, ("png",), 4_000_000)
    assert told["output_format"] == Choice(("avif", "webp", "png", "jpeg"), "avif")
    assert told["partial_images"] == Span(0, 3, default=0)
    assert (told["seed"], told["raw"], told["tools"]) == (Span(0, 9), Flag(), Anything())
    assert told.keys() - full.params.keys() <= FIELDS


@pytest.mark.parametrize(
    ("said", "must"),
    [
        ({}, [("prompt",)]),
        ({"prompt": Prompt("optional")}, []),
        ({"prompt": Prompt("none"), "modes": ("edit",)}, [("image",)]),
        ({"inputs": Inputs(count=1, required=True)}, [("prompt",), ("image",)]),
        ({"required": (("mask", "search_prompt"),)}, [("prompt",), ("mask", "search_prompt")]),
    ],
)
def test_what_a_request_must_hold(said: dict[str, Any], must: list[tuple[str, ...]]) -> None:
    assert list(required(card(**said))) == must


@pytest.mark.parametrize(("said", "least"), [({}, 0), ({"required": True}, 1), ({"required": True, "least": 2}, 2)])
def test_how_many_pictures_a_request_must_hold(said: dict[str, Any], least: int) -> None:
    told = parameters(card(inputs=Inputs(count=3, **said)))["image"]
    assert isinstance(told, Pictures) and told.min == least


@pytest.mark.parametrize(("fan_out", "most"), [(True, 10), (False, 4)])
def test_the_number_of_pictures_is_the_one_that_is_taken(fan_out: bool, most: int) -> None:
    told = card(fan_out=fan_out, max_n=4)
    number = parameters(told)["n"]
    assert isinstance(number, Span) and number.high == most
    assert check(ImageRequest(model="fox", prompt="x", n=most), told) == []
    (problem,) = check(ImageRequest(model="fox", prompt="x", n=most + 1), told)
    assert isinstance(problem, BadRequest)


@pytest.mark.parametrize(
    ("kind", "wire"),
    [
        (Choice(("a", "b"), "a"), b'{"type":"enum","values":["a","b"],"default":"a"}'),
        (Span(0, 100), b'{"type":"range","min":0,"max":100}'),
        (Span(0, 1, whole=False, default=0.5), b'{"type":"range","min":0,"max":1,"whole":false,"default":0.5}'),
        (Flag(default=True), b'{"type":"boolean","default":true}'),
        (Words(), b'{"type":"text","max_chars":32000}'),
        (Anything(), b'{"type":"any"}'),
        (Pixels(step=16, max_edge=2048), b'{"type":"pixels","step":16,"max_edge":2048}'),
        (
            Pictures(1, 1, ("png",), 9, max_ratio=1),
            b'{"type":"images","min":1,"max":1,"formats":["png"],"max_bytes":9,"max_ratio":1}',
        ),
        (Pictures(0, 2, ("png",), 9), b'{"type":"images","min":0,"max":2,"formats":["png"],"max_bytes":9}'),
    ],
)
def test_descriptors_on_the_wire(kind: Parameter, wire: bytes) -> None:
    assert msgspec.json.encode(kind) == wire
    assert msgspec.json.decode(wire, type=Parameter) == kind


# -- money --


def picture(usd: str, **said: Any) -> Rate:
    return Rate(billable="output_image", unit="image", usd=usd, **said)


@pytest.mark.parametrize(
    ("price", "lines"),
    [
        (Free(), [picture("0.00")]),
        (PerPicture(40_000), [picture("0.04")]),
        (PerPicture(40_000, 1), [picture("0.04"), Rate(billable="input_image", unit="image", usd="0.000001")]),
        (
            PriceList((Row(134_000, "", "1K"), Row(240_000, "hd", "4K"))),
            [picture("0.134", size="1K"), picture("0.24", quality="hd", size="4K")],
        ),
        (
            PerMegapixel(30_000, 15_000, 15_000),
            [
                Rate(billable="output_image", unit="megapixel", usd="0.03", part="first"),
                Rate(billable="output_image", unit="megapixel", usd="0.015", part="further"),
                Rate(billable="input_image", unit="image", usd="0.015"),
            ],
        ),
        (
            PerToken(text_in=5_000, image_in=8_000, image_out=30_000, cached_in=1_250, text_out=75, output=FORMULA),
            [
                Rate(billable="output_image", unit="token", usd="0.00003"),
                Rate(billable="output_text", unit="token", usd="0.000000075"),
                Rate(billable="input_text", unit="token", usd="0.000005"),
                Rate(billable="input_image", unit="token", usd="0.000008"),
                Rate(billable="cached_input", unit="token", usd="0.00000125"),
            ],
        ),
    ],
)
def test_what_is_billed(price: Price, lines: list[Rate]) -> None:
    assert rates(price) == lines


def test_lines_that_say_nothing_special_are_short() -> None:
    wire = msgspec.json.encode(rates(PerPicture(40_000)))
    assert wire == b'[{"billable":"output_image","unit":"image","usd":"0.04"}]'


def test_what_a_picture_comes_to_by_quality_and_tier() -> None:
    price = PerToken(text_in=5_000, image_in=8_000, image_out=30_000, output=FORMULA)
    shown = card(price=price, sizes=WINDOW, params={"quality": Choice(("auto", "low", "high"), "auto")})
    assert examples(shown) == [
        Example(usd=told, quality=quality, size=size)
        for quality, size, told in (
            ("low", "512x512", "0.00435"),
            ("low", "1024x1024", "0.00588"),
            ("low", "2048x2048", "0.01191"),
            ("high", "512x512", "0.15636"),
            ("high", "1024x1024", "0.21072"),
            ("high", "2048x2048", "0.42816"),
        )
    ]


@pytest.mark.parametrize("rule", [OwnSize(), Shapes(aspects=("1:1",)), Shapes(aspects=("16:9",))])
def test_a_model_whose_size_cannot_be_chosen_has_one_example(rule: Sizes) -> None:
    price = PerToken(text_in=1, image_in=1, image_out=30_000, output=TokenList((Row(1290),)))
    (only,) = examples(card(price=price, sizes=rule))
    assert only.usd == "0.0387"


def test_megapixels_know_no_quality() -> None:
    price = PerMegapixel(30_000, 15_000)
    shown = card(price=price, sizes=WINDOW, params={"quality": Choice(("low", "high"))})
    assert [example.quality for example in examples(shown)] == ["", "", ""]
    assert examples(shown)[-1] == Example("0.075", "", "2048x2048")
    assert bill(price, Order(sizes=(Size(width=2048, height=2048),))) == 75_000


@pytest.mark.parametrize("price", [None, Free(), PerPicture(1), PriceList((Row(1, "", "1K"),))])
def test_other_prices_say_it_themselves(price: Price | None) -> None:
    assert examples(card(price=price)) == []
