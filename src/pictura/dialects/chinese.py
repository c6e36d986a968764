"""What our errors say in Chinese, for the routers whose own servers do: by class, with the error's own facts: the
field, what is allowed, how much there was, dollars, seconds.

What only the English message knows (which picture, which URL) follows it in brackets.
"""

from __future__ import annotations

from collections.abc import Mapping

from pictura.core.errors import (
    BadRequest,
    Forbidden,
    InsufficientBalance,
    Missing,
    OutOfBounds,
    PicturaError,
    RateLimited,
    RetiredModel,
    Unsupported,
)
from pictura.core.money import show
from pictura.core.size import FreePixels, NotInside

#: Whose sentence says it all; what the English message adds is a hint for those who write clients.
_COMPLETE = frozenset(
    {
        *(
            "unauthorized",
            "model_not_found",
            "job_not_found",
            "cancelled",
            "too_late",
            "upstream_unreachable",
            "upstream_throttled",
            "timeout",
        ),
        *("upstream_lost", "upstream_malformed", "internal_error", "request_timeout"),
    }
)

_SENTENCES: Mapping[str, str] = {
    "invalid_request": "请求参数有误",
    "missing_value": "缺少必填参数",
    "out_of_bounds": "参数超出允许范围",
    "unsupported_value": "该模型不支持此参数值",
    "too_large": "请求内容过大",
    "unsupported_media_type": "不支持的请求体类型或编码",
    "request_timeout": "请求体传输超时",
    "conflict": "同名的模型已存在",
    "not_found": "接口不存在",
    "job_not_found": "任务不存在，或不属于当前项目",
    "cancelled": "任务已取消，不收取费用",
    "too_late": "任务已无法取消，将继续执行并照常计费",
    "model_not_found": "模型不存在，可用模型见 GET /v1/models",
    "model_retired": "该模型已下线",
    "unauthorized": "无效的令牌，请以 Authorization: Bearer <key> 提供有效的密钥",
    "forbidden": "该令牌无权执行此操作",
    "insufficient_balance": "用户额度不足",
    "cap_reached": "令牌额度不足",
    "rate_limited": "请求过于频繁",
    "content_refused": "内容未通过安全审核",
    "upstream_unreachable": "暂无可用渠道",
    "upstream_rejected": "上游拒绝了请求",
    "upstream_throttled": "上游负载已饱和，请稍后再试",
    "upstream_failed": "上游生成失败",
    "upstream_lost": "上游未返回结果，任务可能已被计费，请勿直接重试",
    "timeout": "生成超时",
    "upstream_malformed": "上游没有返回有效图片",
    "upstream_error": "上游错误",
    "internal_error": "服务器内部错误，请凭请求 ID 联系管理员",
}


def said(error: PicturaError) -> str:
    """The error's sentence. Classes that have none of their own use that of the nearest base class."""
    codes = (str(vars(kind).get("code", "")) for kind in type(error).__mro__)
    sentence = next((_SENTENCES[code] for code in codes if code in _SENTENCES), "请求失败")
    facts = _facts(error)
    if facts:
        return f"{sentence}：{facts}"
    if error.code in _COMPLETE:
        return sentence
    where = f"：{error.param}" if error.param and isinstance(error, BadRequest) else ""
    return f"{sentence}{where}（{error.message}）"


def _facts(error: PicturaError) -> str:
    """The facts that need no words of ours; "" where only the message knows them."""
    if isinstance(error, InsufficientBalance) and error.needed:
        return f"剩余 {show(error.available)}，需要 {show(error.needed)}"
    if isinstance(error, RateLimited):
        return f"请在 {error.retry_after_s} 秒后重试"
    if isinstance(error, RetiredModel) and error.successor:
        return f"请改用 {error.successor}"
    if isinstance(error, Forbidden) and error.allowed:
        return f"仅可使用 {', '.join(error.allowed)}"
    return _value_facts(error) if isinstance(error, BadRequest) and error.param else ""


def _value_facts(error: BadRequest) -> str:
    if isinstance(error, Missing):
        return " 或 ".join(error.allowed or (str(error.param),))
    if isinstance(error, OutOfBounds) and error.most:
        bounds = f"允许 {error.least:,}–{error.most:,}" if error.least else f"最多允许 {error.most:,}"
        return f"{error.param}，当前 {error.count:,}，{bounds}"
    if isinstance(error, NotInside):
        return f"{error.param}，{_rule(error.sizes)}"
    if error.allowed:
        return f"{error.param}，可选值：{', '.join(error.allowed)}"
    return f"{error.param}，请勿传入" if isinstance(error, Unsupported) else ""


def _rule(sizes: FreePixels) -> str:
    """All that the model asks of width and height; the sizes it recommends are not the only ones."""
    told = [f"宽和高须为 {sizes.step} 的倍数"] if sizes.step > 1 else []
    if sizes.min_edge or sizes.max_edge:
        told.append(f"边长{_span(sizes.min_edge, sizes.max_edge)}")
    if sizes.min_pixels or sizes.max_pixels:
        told.append(f"总像素{_span(sizes.min_pixels, sizes.max_pixels)}")
    if sizes.max_ratio:
        told.append(f"长边与短边之比最大 {sizes.max_ratio:g}")
    words = (*(("auto",) if sizes.auto else ()), *sizes.tiers)
    return "，".join(told or ["请写 宽x高"]) + (f"；或 {', '.join(words)}" if words else "")


def _span(least: int, most: int) -> str:
    if not most:
        return f"至少 {least:,}"
    return f" {least:,}–{most:,}" if least else f"最多 {most:,}"
