"""Tencent TokenHub, https://tokenhub.tencentmaas.com (abroad https://tokenhub-intl.tencentcloudmaas.com).

    POST /hunyuan-image/v3-generation   {"model", "prompt", "images"?: [data URL], "size"?, "seed"?, "footnote"?,
                                        "revise"?} → {"data": [{"url", "revised_prompt"}], "tokenhub_usage"}
    POST /hunyuan-image/v35-generation  {"model", "messages": [{"role", "content": [{"type": "text", "text"}, {"type":
                                        "image_url", "image_url": {"url"}}]}], "size"?, "seed"?, …}
                                        → {"choices": [{"delta": {"image": {"url"}}}], "tokenhub_usage"}
    POST /hunyuan-video/world2-panorama {"model", "prompt" or "image_url"}
    → 4xx, 5xx, and now and then 200: {"error": {"type", "code", "message"}}

Wire facts: Tencent Cloud's pages 1823/135745, 1823/136578 and 1823/131595, of which the beginnings were seen
(2026-11-20, confidence: documented). The 3.5 answer, data URLs and errors with status 200: callers that were tried
against the vendor (2026-09, confidence: third party). The panorama's path and answer are inferred from the others.

Every call answers at once, within some 10 to 60 s, and a result's URL lives for 12 hours. There is no task id, no
cancel and no dedupe key: what is lost is lost.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import ClassVar

import msgspec
from msgspec.structs import replace

from pictura.core.capability import neutral
from pictura.core.errors import Malformed, PicturaError, Refused, Rejected
from pictura.core.model import Flag, Inputs, ModelCard, Prompt, Source, Span, Words
from pictura.core.money import usd
from pictura.core.price import PriceList, Row, Usage
from pictura.core.size import FreePixels, OwnSize
from pictura.infra.http import Answer
from pictura.infra.payload import json_payload
from pictura.providers.answers import code_of, items, mapping, picture, readable, said, word
from pictura.providers.base import Ask, Channel, Done, Provider, Raw, error_from, retry_after, unreadable

_PAGE = Source("Tencent Cloud documents 1823/135745 and 1823/136578", "2026-11-20", "official page")
_RESELLERS = Source("GMI Cloud's price, and a caller of TokenHub abroad", "2026-09-26", "third party")

_IMAGE_3 = ModelCard(
    id="hy-image-v3",
    aliases=("Hunyuan:3.0", "hunyuan-image-3", "Hy-Image-3.0"),
    released=_PAGE.date,
    modes=("generate", "edit"),
    prompt=Prompt(max_chars=8_192),
    sizes=FreePixels(min_edge=512, max_edge=2048, max_pixels=1_048_576),
    inputs=Inputs(count=3, formats=("png", "jpeg"), max_bytes=10_000_000),
    params={"seed": Span(1, 2**32 - 1), "footnote": Words(16), "prompt_extend": Flag()},
    source=_PAGE,
    notes="The wire's revise is prompt_extend here. Its price is not established (¥0.2 to ¥0.5, memory).",
)


class TencentTokenHub(Provider):
    """Tencent TokenHub, https://cloud.tencent.com/document/product/1823. Answers at once."""

    name = "tencent-tokenhub"
    base_url = "https://tokenhub.tencentmaas.com/v1/wand"
    env: ClassVar = {"api_key": "TOKENHUB_API_KEY"}
    sandbox_path = "/tencent-tokenhub/v1/wand"
    MODELS = (
        replace(
            _IMAGE_3,
            id="hy-world2-panorama",
            aliases=("HY-World-2.1-panorama",),
            prompt=Prompt("optional", max_chars=600),
            sizes=OwnSize(),
            inputs=Inputs(count=1, formats=("jpeg", "png", "webp"), max_bytes=10_000_000, min_edge=512),
            params={},
            notes=(
                "A panorama of 360° (equirectangular; its pixels and price are not established) from a prompt or a "
                "picture, not both."
            ),
        ),
        _IMAGE_3,
        replace(
            _IMAGE_3,
            id="hy-image-v3.5-preview",
            aliases=("Hunyuan:3.5-preview",),
            prompt=Prompt(max_chars=100_000),
            # Other sides are rounded to multiples of 16 (third party, 2026-09).
            sizes=FreePixels(step=16, min_edge=256, max_edge=8192, max_pixels=16_777_216),
            inputs=replace(_IMAGE_3.inputs, count=20, max_bytes=20_000_000),
            params={
                "seed": Span(1, 2**32 - 1),
                "footnote": Words(16),
                "generate_max_pixels": Span(65_536, 16_777_216),
                "resize_max_pixels": Span(65_536, 16_777_216),
                "session": Words(128),
                "use_search_tool": Flag(),
            },
            # 15,000 tokens up to 2K and 20,000 beyond; in China ¥10 a million of them, so ¥0.15 and ¥0.20.
            price=PriceList((Row(usd("0.024"), size="2048x2048"), Row(usd("0.032"), size="4096x4096"))),
            price_source=_RESELLERS,
            notes=(
                "Twenty inputs of 20 MB: Tencent CloudBase's page on the same model. In China ¥0.15, beyond 2K ¥0.20 "
                "(third party)."
            ),
        ),
    )

    async def start(self, ask: Ask, via: Channel) -> Done:
        wire = _WIRES.get(ask.native)
        if wire is None:
            known = ", ".join(_WIRES)
            raise Rejected(f"no path for {ask.native!r} is known; a channel's models may name {known}", config=True)
        answer = await via.send("POST", wire.path, headers=via.bearer, body=json_payload(_fields(ask, wire)))
        answer.close()  # results are URLs: there is no picture in it
        return self._done(answer, via)

    def _done(self, answer: Answer, via: Channel) -> Done:
        document = self._document(answer, via)
        pictures = tuple(raw for place in _places(document) if (raw := _raw(place)))
        if not pictures:
            raise Malformed("the provider answered without a picture", upstream_status=answer.status)
        return Done(pictures=pictures, usage=_usage(document))

    def _document(self, answer: Answer, via: Channel) -> Mapping[str, object]:
        document = readable(answer)
        if error := mapping(document.get("error")):
            raise self._verdict(error, answer, via)
        if answer.status != 200:
            raise unreadable(answer)
        return document

    def _verdict(self, error: Mapping[str, object], answer: Answer, via: Channel) -> PicturaError:
        """By the vendor's code and type first, and by the status else; never by its message."""
        kind, code, message = word(error.get("type")), code_of(error.get("code")), said(error.get("message"), via)
        if answer.status == 451 or kind == "content_filter_error" or code in _REFUSALS:
            return Refused(message, reason=code or kind or "451", by=self.name)
        if code in _OPERATORS_AFFAIR:
            return Rejected(message, upstream_status=answer.status, upstream_code=code, config=True)
        status = answer.status if answer.status >= 400 else _STATUSES.get(kind, 500)
        return error_from(status, message, code, retry_after(answer))


_REFUSALS = frozenset({"451001", "content_filter"})
#: The model does not exist, or is not open to this account.
_OPERATORS_AFFAIR = frozenset({"400004"})
#: What the types mean where the status says nothing.
_STATUSES = {
    "invalid_request_error": 400,
    "authentication_error": 401,
    "permission_error": 403,
    "rate_limit_error": 429,
}


class Wire(msgspec.Struct, frozen=True):
    """How one model is asked: where, what with, and with which options."""

    path: str
    content: Callable[[Ask], Mapping[str, object]]
    options: tuple[str, ...] = ()


def _image_3(ask: Ask) -> Mapping[str, object]:
    images = {"images": [image.data_url for image in ask.images]} if ask.images else {}
    extend = ask.params.get("prompt_extend")
    return {"prompt": ask.prompt, **images, **({"revise": extend} if isinstance(extend, bool) else {})}


def _image_3_5(ask: Ask) -> Mapping[str, object]:
    pictures = [{"type": "image_url", "image_url": {"url": image.data_url}} for image in ask.images]
    return {"messages": [{"role": "user", "content": [{"type": "text", "text": ask.prompt}, *pictures]}]}


def _panorama(ask: Ask) -> Mapping[str, object]:
    # The page speaks of public URLs only; its neighbours take data URLs, so that is tried where there is no other.
    shown = {"image_url": ask.images[0].url or ask.images[0].data_url} if ask.images else {}
    return {**({"prompt": ask.prompt} if ask.prompt else {}), **shown}


_WIRES = {
    "hy-image-v3": Wire("/hunyuan-image/v3-generation", _image_3, ("seed", "footnote")),
    "hy-image-v3.5-preview": Wire(
        "/hunyuan-image/v35-generation",
        _image_3_5,
        ("seed", "footnote", "generate_max_pixels", "resize_max_pixels", "session", "use_search_tool"),
    ),
    "hy-world2-panorama": Wire("/hunyuan-video/world2-panorama", _panorama),
}


def _fields(ask: Ask, wire: Wire) -> dict[str, object]:
    given = ((name, ask.params.get(name)) for name in wire.options)
    options = {name: value for name, value in given if value is not None and not neutral(value)}
    size = {"size": str(ask.size)} if ask.size.width else {}
    return {"model": ask.native, **wire.content(ask), **size, **options}


def _places(document: Mapping[str, object]) -> list[Mapping[str, object]]:
    """Where the two kinds of answer hold their pictures."""
    deltas = [mapping(choice.get("delta")) for choice in items(document.get("choices"))]
    return [*items(document.get("data")), *(mapping(delta.get("image")) for delta in deltas)]


def _raw(place: Mapping[str, object]) -> Raw | None:
    return picture([place.get("url")], revised_prompt=place.get("revised_prompt"))


def _usage(document: Mapping[str, object]) -> Usage | None:
    tokens = mapping(document.get("tokenhub_usage")).get("total_tokens")
    return Usage(image_out=tokens) if type(tokens) is int and 0 < tokens < 10**9 else None
