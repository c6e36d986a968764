"""Black Forest Labs' FLUX, https://docs.bfl.ai (in Europe https://api.eu.bfl.ai, in the USA https://api.us.bfl.ai).

Wire facts: api.bfl.ai/openapi.json and BFL's pages on errors and on polling (2026-05 to 2026-10, read in copies;
confidence: official specification) unless said otherwise.

    POST /v1/{model}   x-key: <key>   JSON
    → {"id", "polling_url", "cost"?, "input_mp"?, "output_mp"?}    cost in credits of $0.01
    GET  the polling_url, which lies at some region's host
    → {"id", "status", "result": {"sample": <URL, for 10 minutes>, "prompt", "seed", …} | null, "details", "progress"}
    → 4xx, 5xx {"detail": text | [{"loc": ["body", field], "msg", "type"}]}

`status`: Pending, Reasoning and Generating go on; Ready; Request Moderated and Content Moderated, neither of which is
charged (BFL's help page, 2026-06-12); Error; Task not found. A task that failed may come with HTTP 422 or 503.
There is no cancel, no idempotency key and one picture a call.

`released` on the cards is that of ImageRouter's registry (2026-02) where it has the model.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar
from urllib.parse import quote

from msgspec.structs import replace

from pictura.core.errors import BadRequest, Failed, Lost, Malformed, PicturaError, Refused
from pictura.core.model import Descriptor, Flag, Inputs, Mask, ModelCard, Prompt, Source, Span
from pictura.core.money import usd
from pictura.core.picture import Inline
from pictura.core.price import PerMegapixel, PerPicture, PriceList, Row
from pictura.core.size import FreePixels, OwnSize, Shapes, Size
from pictura.infra.http import Answer
from pictura.infra.payload import json_payload
from pictura.providers.answers import document_of, items, kept_url, mapping, picture, said, task_id, word
from pictura.providers.base import (
    Ask,
    Channel,
    Done,
    Pending,
    TaskProvider,
    error_from,
    retry_after,
    unreadable,
)
from pictura.providers.masks import white_where_edited

_SPEC = Source("api.bfl.ai/openapi.json (copies); ComfyUI's bfl nodes", "2026-10-04", "official specification")
_SPEC_3 = Source("api.bfl.ai/openapi.json as generated into SDKs; BFL's pages on FLUX 3", "2026-10-08", "third party")
_PRICES = Source("docs.bfl.ai/quick_start/pricing; BFL's skill page", "2026", "official page")
_CITED = Source("litellm 1.109.1, citing bfl.ai/pricing", "2026-11", "third party")
_PRICES_3 = Source("fal, and ComfyUI without its own surcharge, which agree", "2026-10", "third party")

_FORMATS = ("png", "jpeg", "webp")
_SEED: dict[str, Descriptor] = {"seed": Span(0, 2**32 - 1)}
_OPTIONS: dict[str, Descriptor] = {**_SEED, "safety_tolerance": Span(0, 6, default=2)}
_OPTIONS_2: dict[str, Descriptor] = {**_SEED, "safety_tolerance": Span(0, 5, default=2)}
_UPSAMPLING: dict[str, Descriptor] = {"prompt_upsampling": Flag(False)}
_STEERED: dict[str, Descriptor] = {
    "steps": Span(15, 50, default=50),
    "guidance_scale": Span(1.5, 100, whole=False, default=60),
}
# Any aspect from 21:9 to 9:21 is taken; these are the usual ones.
_RATIOS = ("21:9", "2:1", "16:9", "3:2", "4:3", "5:4", "1:1", "4:5", "3:4", "2:3", "9:16", "1:2", "9:21")

# 20 MB "or 20 megapixels": BFL's pages on Kontext and FLUX.2 as copied by others (2025 to 2026, third party).
_INPUTS = Inputs(count=1, formats=_FORMATS, max_bytes=20_000_000, max_pixels=20_000_000)

_PRO_1_1 = ModelCard(
    id="flux-pro-1.1",
    released="2024-11-02",
    released_known=True,
    sizes=FreePixels(step=32, min_edge=256, max_edge=1440, default="1024x768"),
    inputs=_INPUTS,
    outputs=("jpeg", "png", "webp"),
    params={**_OPTIONS, **_UPSAMPLING},
    price=PerPicture(usd("0.04")),
    price_source=_PRICES,
    source=_SPEC,
    notes="The input is an example to go by, not a picture to edit.",
)
_KONTEXT_PRO = replace(
    _PRO_1_1,
    id="flux-kontext-pro",
    aliases=("flux-1-kontext-pro", "black-forest-labs/flux-kontext-pro"),
    released="2025-05-29",
    modes=("generate", "edit"),
    sizes=Shapes(aspects=_RATIOS),
    inputs=replace(_INPUTS, count=4),
    outputs=("png", "jpeg", "webp"),
    notes="About one megapixel; an edit keeps its input's shape. More than one input is experimental.",
)
_FILL = replace(
    _PRO_1_1,
    id="flux-pro-1.0-fill",
    released=_SPEC.date,
    released_known=False,
    modes=("inpaint",),
    prompt=Prompt("optional"),
    sizes=OwnSize(),
    inputs=replace(_INPUTS, required=True),
    mask=Mask(max_bytes=20_000_000),
    params={**_OPTIONS, **_UPSAMPLING, **_STEERED},
    price=PerPicture(usd("0.05")),
    notes="The picture's own alpha serves where there is no mask.",
)
# Input megapixels are billed like further ones of the output, by BFL's skill page.
_FLUX_2_PRO = replace(
    _PRO_1_1,
    id="flux-2-pro",
    aliases=("FLUX.2-pro", "black-forest-labs/flux-2-pro"),
    released="2025-11-25",
    modes=("generate", "edit"),
    sizes=FreePixels(step=16, min_edge=64, max_pixels=4_194_304, default="1024x1024"),
    inputs=replace(_INPUTS, count=8),
    params={**_OPTIONS_2, "disable_pup": Flag(False)},
    price=PerMegapixel(usd("0.03"), usd("0.015"), usd("0.015")),
    notes=(
        "Without a size it takes that of the input. Inputs and output share nine megapixels. It rewrites the prompt "
        "unless disable_pup is true. Other steps than 16 pixels are rounded by BFL itself."
    ),
)


class BlackForestLabs(TaskProvider):
    """Black Forest Labs, https://docs.bfl.ai. Answers by task id."""

    name = "bfl"
    base_url = "https://api.bfl.ai"
    env: ClassVar = {"api_key": "BFL_API_KEY"}
    sandbox_path = "/bfl"
    MODELS = (
        _PRO_1_1,
        replace(
            _PRO_1_1,
            id="flux-pro-1.1-ultra",
            released="2024-11-06",
            sizes=Shapes(aspects=_RATIOS, default_aspect="16:9"),
            params={
                **_PRO_1_1.params,
                "raw": Flag(False),
                "image_prompt_strength": Span(0, 1, whole=False, default=0.1),
            },
            price=PerPicture(usd("0.06")),
            notes=f"{_PRO_1_1.notes} About four megapixels.",
        ),
        replace(
            _PRO_1_1,
            id="flux-dev",
            aliases=("flux-1",),
            released="2024-08-01",
            params={
                **_PRO_1_1.params,
                "steps": Span(1, 50, default=28),
                "guidance_scale": Span(1.5, 5, whole=False, default=3),
            },
            price=PerPicture(usd("0.025")),
            price_source=_CITED,
            notes="`flux-1` is QuickRouter's word; BFL has no such model, and this is FLUX.1 in its plainest form.",
        ),
        _KONTEXT_PRO,
        replace(
            _KONTEXT_PRO,
            id="flux-kontext-max",
            aliases=(),
            price=PerPicture(usd("0.08")),
            notes=f"{_KONTEXT_PRO.notes} Six tasks at once, where the other models take 24.",
        ),
        _FILL,
        replace(
            _FILL,
            id="flux-pro-1.0-expand",
            modes=("edit",),
            mask=None,
            params={**_FILL.params, **{side: Span(0, 2048) for side in ("top", "bottom", "left", "right")}},
            price_source=replace(_CITED, name="litellm 1.109.1, citing bfl.ai/pricing; docs.comfy.org's price page"),
            notes="Paints so many pixels beyond each side of the input.",
        ),
        replace(
            _FLUX_2_PRO,
            id="flux-3-image",
            aliases=("black-forest-labs/flux-3-image",),
            released="2026-10-01",
            sizes=Shapes(
                aspects=(*_RATIOS, "7:5", "5:7"), tiers=("1k", "2k", "4k"), default_aspect="auto", default_tier="1k"
            ),
            inputs=replace(_INPUTS, count=10, min_edge=256, max_pixels=16_000_000),
            outputs=("jpeg",),
            params={"safety_tolerance": Span(0, 4, default=2), "grounding": Flag(True)},
            price=PriceList((Row(usd("0.048"), "", "1k"), Row(usd("0.10"), "", "2k"), Row(usd("0.607"), "", "4k"))),
            price_source=_PRICES_3,
            source=_SPEC_3,
            notes=(
                "BFL tells in its answers what a picture did cost, which counts more than the price here. It takes no "
                "seed, rewrites the prompt, and looks things up unless grounding is false. Its format cannot be "
                "chosen; that it is jpeg is assumed."
            ),
        ),
        _FLUX_2_PRO,
        replace(
            _FLUX_2_PRO,
            id="flux-2-max",
            aliases=(),
            released="2025-12-16",
            price=PerMegapixel(usd("0.07"), usd("0.03"), usd("0.03")),
            notes=f"{_FLUX_2_PRO.notes} It looks things up on the web.",
        ),
        replace(
            _FLUX_2_PRO,
            id="flux-2-flex",
            aliases=(),
            params={
                **_OPTIONS_2,
                "prompt_upsampling": Flag(True),
                "steps": Span(1, 50, default=50),
                "guidance_scale": Span(1.5, 10, whole=False, default=5),
            },
            price=PerMegapixel(usd("0.05"), usd("0.05"), usd("0.05")),
            notes="Without a size it takes that of the input.",
        ),
        *(
            replace(
                _FLUX_2_PRO,
                id=model,
                aliases=(),
                released="2026-01-23",
                inputs=replace(_INPUTS, count=4),
                params=_OPTIONS_2,
                price=PerMegapixel(usd(first), usd(further), usd(further)),
                notes="Without a size it takes that of the input.",
            )
            for model, first, further in (
                ("flux-2-klein-9b", "0.015", "0.002"),
                ("flux-2-klein-4b", "0.014", "0.001"),
            )
        ),
    )

    async def start(self, ask: Ask, via: Channel) -> Pending:
        body = json_payload(await _body(ask))
        answer = await via.send("POST", f"/v1/{ask.native}", headers=_key(via), body=body)
        answer.close()  # results are URLs: there is no picture in it
        document = document_of(answer)
        if not 200 <= answer.status < 300:
            raise _error(document, answer, via)
        id = task_id(document.get("id"))
        if not id:
            raise Malformed(f"{self.name} answered without a task id", upstream_status=answer.status)
        cost = _cost(document.get("cost"))
        poll = kept_url(document.get("polling_url"), via, _is_of_bfl) or f"/v1/get_result?id={quote(id, safe='')}"
        state = {"poll": poll} if cost is None else {"poll": poll, "cost": str(cost)}
        return Pending(upstream_id=id, poll_after_s=POLL_S, state=state)

    async def check(self, task: Pending, via: Channel) -> Done | Pending:
        answer = await via.send("GET", task.state["poll"], headers=_key(via))
        answer.close()
        document = document_of(answer)
        status = word(document.get("status"))
        if status == "Ready":
            return _done(mapping(document.get("result")), task.state.get("cost"))
        if status in _REFUSALS:
            raise Refused(_why(document, via), reason=status, by=self.name)
        if status in _FAILURES:
            raise Failed(_why(document, via), upstream_code=status)
        if 200 <= answer.status < 300:
            if status:
                return task
            raise Lost(f"{self.name} answered without the status of its task", upstream_status=answer.status)
        # The question failed. That the task did, only its own status says.
        raise unreadable(answer)


POLL_S = 1.0
#: In micro-USD.
CREDIT = usd("0.01")
#: Beyond these a bill is a mistake.
_MOST_CREDITS = 100_000

_REFUSALS = frozenset({"Request Moderated", "Content Moderated"})
_FAILURES = frozenset({"Error", "Failed", "Task not found"})

#: Where a model has one picture, its field; the others number theirs, but for the one that lists them.
_ONE_PICTURE = {
    **dict.fromkeys(("flux-pro-1.1", "flux-pro-1.1-ultra", "flux-dev"), "image_prompt"),
    **dict.fromkeys(("flux-pro-1.0-fill", "flux-pro-1.0-expand"), "image"),
}
_LISTED = {"flux-3-image": "images"}
#: Options that go by another name.
_NAMES = {"guidance_scale": "guidance"}


def _key(via: Channel) -> Mapping[str, str]:
    return {"x-key": via.secrets.get("api_key", "")}


# -- what is sent --


async def _body(ask: Ask) -> Mapping[str, object]:
    options = ask.options(_NAMES)
    # A model with one format takes no word about it.
    if ask.output_format and len(ask.card.outputs) > 1:
        options["output_format"] = ask.output_format
    if ask.mask is not None:
        options["mask"] = Inline((await white_where_edited(ask.mask)).source)
    return {"prompt": ask.prompt, **_size(ask.size), **options, **_pictures(ask)}


def _size(size: Size) -> Mapping[str, object]:
    if size.width:
        return {"width": size.width, "height": size.height}
    return {name: word for name, word in (("aspect_ratio", size.aspect), ("resolution", size.tier)) if word}


def _pictures(ask: Ask) -> Mapping[str, object]:
    """Bare base64, under the names that the model has for its inputs."""
    inlines = [Inline(image.source) for image in ask.images]
    if inlines and ask.card.id in _LISTED:
        return {_LISTED[ask.card.id]: inlines}
    first = _ONE_PICTURE.get(ask.card.id, "input_image")
    return {first if number == 1 else f"{first}_{number}": inline for number, inline in enumerate(inlines, 1)}


# -- what comes back --


def _is_of_bfl(host: str) -> bool:
    return host.endswith(".bfl.ai")


def _done(result: Mapping[str, object], cost: str | None) -> Done:
    raw = picture([result.get("sample")], seed=result.get("seed"), revised_prompt=result.get("prompt"))
    if raw is None:
        raise Malformed("the provider's task is ready without a picture")
    return Done(pictures=(raw,), cost=None if cost is None else int(cost))


def _cost(credits: object) -> int | None:
    """Micro-USD; None where nothing is told, or what cannot be."""
    if isinstance(credits, bool) or not isinstance(credits, int | float) or not 0 <= credits <= _MOST_CREDITS:
        return None
    return round(credits * CREDIT)


def _why(document: Mapping[str, object], via: Channel) -> str:
    """A task's own words about its end, after its status."""
    details, result = mapping(document.get("details")), mapping(document.get("result"))
    reasons = details.get("Moderation Reasons")
    words = reasons if isinstance(reasons, list) else [details.get("error") or result.get("error")]
    told = ", ".join(word for word in words if isinstance(word, str))
    return said(": ".join(filter(None, (str(document["status"]), told))), via)


def _error(document: Mapping[str, object], answer: Answer, via: Channel) -> PicturaError:
    """By the status: BFL's errors have no codes."""
    detail = document.get("detail")
    if not isinstance(detail, str | list):
        return unreadable(answer)
    first = next(iter(items(detail)), {"msg": detail})
    message = said(first.get("msg"), via)
    if answer.status in (400, 422):
        return BadRequest(message, param=_field(first.get("loc")))
    return error_from(answer.status, message, retry_after_s=retry_after(answer))


def _field(place: object) -> str | None:
    """Of `["body", "width"]` the field."""
    names: Sequence[object] = place if isinstance(place, list) else ()
    return next((word(name) for name in names if word(name) not in ("", "body")), None)
