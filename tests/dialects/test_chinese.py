from __future__ import annotations

import re

import pytest

from pictura.core import errors
from pictura.core.errors import PicturaError
from pictura.core.views import Call
from pictura.dialects import chinese

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
        (errors.Unsupported("m takes no mask", param="mask"), "该模型不支持此参数值：mask（m takes no mask）"),
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
