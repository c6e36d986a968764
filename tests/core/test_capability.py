"""Does a model take a request? Each problem is named, with what is allowed instead."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from pictura.core.capability import allowed, check, nearest_quality, neutral, takes
from pictura.core.errors import Unsupported
from pictura.core.model import (
    Anything,
    Choice,
    Descriptor,
    Flag,
    Inputs,
    Mask,
    ModelCard,
    Prompt,
    Source,
    Span,
    Words,
)
from pictura.core.request import ImageRequest, InputPicture

PICTURE = InputPicture(ref="upload:0")
DRAWS = ModelCard(
    id="draws",
    prompt=Prompt(max_chars=10),
    params={
        "quality": Choice(("low", "high")),
        "seed": Span(0, 9),
        "strength": Span(0, 1, whole=False),
        "tiling": Flag(),
        "negative_prompt": Words(5),
        "vendor": Anything(),
    },
    source=Source("a test", "2026-11-20"),
)
EDITS = ModelCard(
    id="edits",
    modes=("edit", "inpaint"),
    prompt=Prompt("optional"),
    inputs=Inputs(count=2),
    mask=Mask(),
    max_n=4,
    fan_out=False,
    source=DRAWS.source,
)

MIXES = msgspec.structs.replace(EDITS, id="mixes", inputs=Inputs(count=3, required=True, least=2))


def ask(prompt: str = "a fox", **said: Any) -> ImageRequest:
    return ImageRequest(model="any", prompt=prompt, **said)


@pytest.mark.parametrize(
    ("request_", "card"),
    [
        (ask(), DRAWS),
        (ask("x" * 10), DRAWS),
        (ask(n=10), DRAWS),
        (ask(params={"quality": "low", "seed": 9, "strength": 0.5, "tiling": False, "vendor": {"a": [1]}}), DRAWS),
        (ask(params={"quality": "auto"}), DRAWS),
        (ask(params={"quality": "", "style": "auto"}), DRAWS),
        (ask(params={"seed": 3.0}), DRAWS),
        (ask("", images=(PICTURE,)), EDITS),
        (ask(images=(PICTURE, PICTURE), mask=PICTURE, n=4), EDITS),
    ],
)
def test_what_is_taken(request_: ImageRequest, card: ModelCard) -> None:
    assert check(request_, card) == []


@pytest.mark.parametrize(
    ("request_", "card", "param", "message"),
    [
        (ask(" "), DRAWS, "prompt", "prompt is required"),
        (ask("x" * 11), DRAWS, "prompt", "has 11 characters; draws takes at most 10"),
        (ask("x" * 8, max_prompt_chars=7), DRAWS, "prompt", "at most 7"),
        (ask("x" * 11, max_prompt_chars=99), DRAWS, "prompt", "at most 10"),
        (ask(images=(PICTURE,)), DRAWS, "image", "takes no input pictures"),
        (ask(images=(PICTURE,) * 3), EDITS, "image", "3 pictures were sent; edits takes at most 2"),
        (ask(), EDITS, "image", "image is required"),
        (ask(images=(PICTURE,)), MIXES, "image", "mixes needs 2 pictures, not 1"),
        (ask(mask=PICTURE), DRAWS, "mask", "takes no mask"),
        (ask(n=0), DRAWS, "n", "draws 1 to 10 pictures"),
        (ask(n=11), DRAWS, "n", "draws 1 to 10 pictures"),
        (ask(n=5, images=(PICTURE,)), EDITS, "n", "draws 1 to 4 pictures"),
        (ask(params={"quality": "hd"}), DRAWS, "quality", "'hd' is not allowed; allowed: low, high"),
        (ask(params={"seed": 10}), DRAWS, "seed", "an integer from 0 to 9"),
        (ask(params={"seed": 1.5}), DRAWS, "seed", "an integer from 0 to 9"),
        (ask(params={"seed": True}), DRAWS, "seed", "an integer from 0 to 9"),
        (ask(params={"seed": "auto"}), DRAWS, "seed", "an integer from 0 to 9"),
        (ask(params={"strength": float("nan")}), DRAWS, "strength", "a number from 0 to 1"),
        (ask(params={"strength": 10**400}), DRAWS, "strength", "a number from 0 to 1"),
        (ask(params={"tiling": "yes"}), DRAWS, "tiling", "allowed: true, false"),
        (ask(params={"negative_prompt": "longer"}), DRAWS, "negative_prompt", "text of at most 5 characters"),
        (ask(params={"style": "vivid"}), DRAWS, "style", "does not take style; leave it out"),
        (ask(params={"quality": "x" * 500}), DRAWS, "quality", "x…"),
        (ask(params={"background": "transparent"}, output_format="jpeg"), DRAWS, "background", "does not take"),
    ],
)
def test_what_is_refused_is_named(request_: ImageRequest, card: ModelCard, param: str, message: str) -> None:
    problem = check(request_, card)[0]
    assert problem.param == param
    assert message in problem.message
    assert len(problem.message) < 300


def test_a_prompt_where_none_is_taken() -> None:
    card = ModelCard(id="upscaler", modes=("edit",), prompt=Prompt("none"), inputs=Inputs(1), source=DRAWS.source)
    assert [problem.param for problem in check(ask(images=(PICTURE,)), card)] == ["prompt"]
    assert not check(ask("", images=(PICTURE,)), card)


def test_a_mask_needs_its_picture() -> None:
    assert [problem.param for problem in check(ask(mask=PICTURE), EDITS)] == ["image", "mask"]


def test_transparency_has_no_place_in_a_jpeg() -> None:
    wanted = ask(params={"background": "transparent"}, output_format="jpeg")
    card = ModelCard(id="card", params={"background": Choice(("transparent",))}, source=DRAWS.source)
    (problem,) = check(wanted, card)
    assert isinstance(problem, Unsupported)
    assert problem.param == "output_format"
    assert problem.allowed == ("png", "webp")


def test_every_problem_is_found() -> None:
    wrong = ask("", n=0, params={"quality": "hd", "style": "vivid"}, mask=PICTURE)
    assert [problem.param for problem in check(wrong, DRAWS)] == ["prompt", "mask", "n", "quality", "style"]


@pytest.mark.parametrize("descriptor", [Choice(("a",)), Span(0, 1), Flag(), Words(), Anything()])
def test_every_descriptor_says_what_it_takes(descriptor: Descriptor) -> None:
    assert all(allowed(descriptor))


@pytest.mark.parametrize(
    ("value", "descriptor", "taken"),
    [
        ("a", Choice(("a",)), True),
        ("A", Choice(("a",)), False),
        (1, Choice(("1",)), False),
        (0, Span(0, 1), True),
        (float("inf"), Span(0, 1, whole=False), False),
        ("1", Span(0, 1), False),
        (1, Flag(), False),
        ("x", Words(1), True),
        (None, Anything(), True),
    ],
)
def test_what_a_descriptor_takes(value: object, descriptor: Descriptor, taken: bool) -> None:
    assert takes(value, descriptor) is taken


def test_neutral_words_are_words() -> None:
    assert neutral("")
    assert neutral("auto")
    assert not neutral(None)
    assert not neutral("Auto")


@pytest.mark.parametrize(
    ("value", "known", "nearest"),
    [
        ("high", ("auto", "low", "medium"), "medium"),
        ("medium", ("auto", "high", "low"), "low"),
        ("high", ("standard", "hd"), "hd"),
        ("low", ("standard", "hd"), "standard"),
        ("max", ("low", "medium", "high"), "high"),
        ("medium", ("low", "medium"), "medium"),
        ("ultra", ("low", "medium"), "ultra"),
        ("low", ("draft",), "low"),
        (["low"], ("medium",), ["low"]),
    ],
)
def test_the_nearest_quality(value: object, known: tuple[str, ...], nearest: object) -> None:
    assert nearest_quality(value, Choice(known)) == nearest
