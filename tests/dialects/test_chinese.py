from __future__ import annotations

import re
from collections.abc import Mapping

import msgspec
import pytest

from pictura.core import errors
from pictura.core.capability import check
from pictura.core.errors import PicturaError
from pictura.core.model import Choice, Flag, Inputs, Mask, ModelCard, Prompt, Source, Span
from pictura.core.request import ImageRequest, InputPicture
from pictura.core.size import FreePixels, ListedPixels, OwnSize, Shapes, Size, Sizes, fit
from pictura.core.views import Call
from pictura.dialects import chinese
from pictura.dialects.openopen8 import OpenOpen8
from tests.dialects.speaking import complaint

KINDS = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, PicturaError)]


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (errors.InsufficientBalance("no", needed=40_000, available=12_500), "用户额度不足：剩余 $0.0125，需要 $0.04"),
        (errors.InsufficientBalance("no", needed=12_000_000, available=5), "用户额度不足：剩余 $0.000005，需要 $12.00"),
        (errors.CapReached("no", needed=40_000, available=0), "令牌额度不足：剩余 $0.00，需要 $0.04"),
        (errors.CapReached("the cap of $1 a day is reached"), "令牌额度不足（the cap of $1 a day is reached）"),
        (errors.RateLimited("no", retry_after_s=7), "请求过于频繁：请在 7 秒后重试"),
        (errors.RetiredModel("no", successor="gpt-image-2"), "该模型已下线：请改用 gpt-image-2"),
        (errors.RetiredModel("it was switched off"), "该模型已下线（it was switched off）"),
        (
            errors.Unsupported("no", param="size", allowed=("1024x1024", "auto")),
            "该模型不支持此参数值：size，可选值：1024x1024, auto",
        ),
        (errors.Unsupported("m takes no mask", param="mask"), "该模型不支持此参数值：mask，请勿传入"),
        (errors.Missing("m works on a picture", param="image"), "缺少必填参数：image"),
        (errors.Missing("no", param="mask", allowed=("mask", "prompt")), "缺少必填参数：mask 或 prompt"),
        (
            errors.OutOfBounds("no", param="prompt", count=32_001, most=32_000),
            "参数超出允许范围：prompt，当前 32,001，最多允许 32,000",
        ),
        (errors.OutOfBounds("no", param="n", count=0, least=1, most=10), "参数超出允许范围：n，当前 0，允许 1–10"),
        (errors.OutOfBounds("told by a stranger", param="n"), "参数超出允许范围：n（told by a stranger）"),
        (errors.BadRequest("no", param="size", allowed=("2K", "auto")), "请求参数有误：size，可选值：2K, auto"),
        (errors.Forbidden("no", allowed=("fox", "wolf*")), "该令牌无权执行此操作：仅可使用 fox, wolf*"),
        (errors.Cancelled("no"), "任务已取消，不收取费用"),
        (errors.TooLate("no"), "任务已无法取消，将继续执行并照常计费"),
        (errors.BadRequest("picture 2 is not whole"), "请求参数有误（picture 2 is not whole）"),
        (errors.UnknownModel("no model is called x"), "模型不存在，可用模型见 GET /v1/models"),
        (
            errors.Unauthorized("the API key is not known"),
            "无效的令牌，请以 Authorization: Bearer <key> 提供有效的密钥",
        ),
        (errors.UnknownJob("no job"), "任务不存在，或不属于当前项目"),
        (errors.Lost("nothing came"), "上游未返回结果，任务可能已被计费，请勿直接重试"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, PicturaError) else None,
)
def test_sentences(error: PicturaError, told: str) -> None:
    assert chinese.said(error) == told


@pytest.mark.parametrize(
    ("sizes", "told"),
    [
        (
            FreePixels(
                step=16, max_edge=3840, min_pixels=655_360, max_pixels=8_294_400, max_ratio=3, presets=("1024x1024",)
            ),
            "宽和高须为 16 的倍数，边长最多 3,840，总像素 655,360–8,294,400，长边与短边之比最大 3；或 auto",
        ),
        (FreePixels(min_edge=64, max_edge=2048, auto=False, tiers=("2K",)), "边长 64–2,048；或 2K"),
        (FreePixels(min_pixels=1_000_000, auto=False), "总像素至少 1,000,000"),
    ],
)
def test_free_pixels_are_told_by_their_rule(sizes: FreePixels, told: str) -> None:
    """What a model recommends is not all that it takes."""
    with pytest.raises(errors.Unsupported) as caught:
        fit(Size(width=33, height=9999), sizes) if sizes.max_edge else fit(Size(width=1, height=1), sizes)
    assert chinese.said(caught.value) == f"该模型不支持此参数值：size，{told}"


#: A request that each of the checks refuses; sizes, n and pictures among them.
REFUSED: Mapping[str, ImageRequest] = {
    "no prompt": ImageRequest(model="m"),
    "a long prompt": ImageRequest(model="m", prompt="x" * 11),
    "an option it does not know": ImageRequest(model="m", prompt="p", params={"style": "vivid"}),
    "a word it does not know": ImageRequest(model="m", prompt="p", params={"quality": "best"}),
    "a number beyond": ImageRequest(model="m", prompt="p", params={"seed": 10}),
    "no truth": ImageRequest(model="m", prompt="p", params={"tiling": "yes"}),
    "n": ImageRequest(model="m", prompt="p", n=11),
    "a picture": ImageRequest(model="m", prompt="p", images=(InputPicture(ref="upload:0"),)),
    "a mask": ImageRequest(model="m", prompt="p", mask=InputPicture(ref="upload:0")),
    "a jpeg that one sees through": ImageRequest(
        model="m", prompt="p", params={"background": "transparent"}, output_format="jpeg"
    ),
}
PLAIN = ModelCard(
    id="m",
    prompt=Prompt(max_chars=10),
    params={
        "quality": Choice(("low", "high")),
        "seed": Span(0, 9),
        "tiling": Flag(),
        "background": Choice(("transparent",)),
    },
    source=Source("a test", "2026-11"),
)
EDITS = msgspec.structs.replace(
    PLAIN, modes=("edit",), inputs=Inputs(count=2, required=True, least=2), mask=Mask(), required=(("mask", "prompt"),)
)
PICTURES = tuple(InputPicture(ref=f"upload:{number}") for number in range(3))
OF_EDITS: Mapping[str, ImageRequest] = {
    "no picture": ImageRequest(model="m", prompt="p"),
    "a mask without its picture": ImageRequest(model="m", prompt="p", mask=PICTURES[0]),
    "one picture": ImageRequest(model="m", prompt="p", images=PICTURES[:1]),
    "three pictures": ImageRequest(model="m", prompt="p", images=PICTURES),
}
BODIES: Mapping[str, Mapping[str, object]] = {
    "no model": {"prompt": "p"},
    "n": {"model": "m", "n": 11},
    "a bad size": {"model": "m", "size": "banana"},
    "a delivery": {"model": "m", "response_format": "fax"},
    "a format": {"model": "m", "output_format": "exe"},
    "a flag": {"model": "m", "watermark": "perhaps"},
    "17 pictures": {"model": "m", "images": ["https://a.example/a"] * 17},
    "two masks": {"model": "m", "mask": ["https://a.example/a"] * 2},
}


@pytest.mark.parametrize(
    ("request_", "card"),
    [*((one, PLAIN) for one in REFUSED.values()), *((one, EDITS) for one in OF_EDITS.values())],
    ids=[*REFUSED, *OF_EDITS],
)
def test_what_a_model_does_not_take_needs_no_english(request_: ImageRequest, card: ModelCard) -> None:
    problems = check(request_, card)
    assert problems
    for problem in problems:
        assert_chinese(problem)


@pytest.mark.parametrize("fields", BODIES.values(), ids=BODIES)
def test_what_a_router_does_not_take_needs_no_english(fields: Mapping[str, object]) -> None:
    assert_chinese(complaint(OpenOpen8(), fields))


@pytest.mark.parametrize("sizes", [ListedPixels(values=("64x64",)), OwnSize(), Shapes(tiers=("1K",))])
def test_a_size_that_is_not_had_needs_no_english(sizes: Sizes) -> None:
    with pytest.raises(errors.Unsupported) as caught:
        fit(Size(width=9, height=9), sizes)
    assert_chinese(caught.value)


def assert_chinese(error: PicturaError) -> None:
    """No English sentence, in brackets or not: names and values alone."""
    told = chinese.said(error)
    assert re.match("[\u4e00-\u9fff]", told)
    assert error.message not in told and "（" not in told
    assert any(name in told for name in (error.param, *error.allowed) if name)
    assert not re.search("[a-z]+ [a-z]+ [a-z]+", told)


@pytest.mark.parametrize("kind", KINDS)
def test_every_error_has_a_chinese_sentence(kind: type[PicturaError]) -> None:
    assert re.match("[\u4e00-\u9fff]", chinese.said(kind("why")))


def test_sentences_are_told_apart() -> None:
    ours = [kind for kind in KINDS if kind not in (PicturaError, errors.CallerError)]
    assert len({chinese.said(kind("why")) for kind in ours}) == len(ours)


def test_a_strangers_error_is_told_as_its_base() -> None:
    class Slower(errors.RateLimited):
        code = "slower"

    class Odd(PicturaError):
        code = "odd"

    assert chinese.said(Slower("no", retry_after_s=3)) == "请求过于频繁：请在 3 秒后重试"
    assert chinese.said(Odd("why")) == "请求失败（why）"


@pytest.mark.parametrize(
    ("wanted", "chinese_first"),
    [
        ("zh", True),
        ("zh-CN,zh;q=0.9,en;q=0.8", True),
        ("ZH-Hant", True),
        ("fr, zh;q=0.5", True),
        ("en-US,en;q=0.9,zh;q=0.8", False),
        ("en", False),
        ("zh;q=0", False),
        ("fr;q=0.9, zh;q=0", False),
        ("en;q=0.5, zh;q=0.9", True),
        ("*", False),
        ("", False),
    ],
)
def test_who_asks_for_it(wanted: str, chinese_first: bool) -> None:
    assert Call(request_id="req_1", headers={"accept-language": wanted}).chinese is chinese_first
    assert not Call(request_id="req_1").chinese
