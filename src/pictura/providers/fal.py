"""fal, https://queue.fal.run: other vendors' models as apps, each with a schema of its own.

Wire facts: fal_client 1.0.3 (seen 2026-11-20, confidence: official SDK) and fal.ai/docs (2026, documented):

    POST /{owner}/{app}[/{path}]   Authorization: Key <key>; the body is the app's input
    → 200 {"request_id", "status_url", "response_url", "cancel_url"}; the URLs lack the path
    GET status_url   → {"status": IN_QUEUE | IN_PROGRESS | COMPLETED, "error"?, "error_type"?}
                       COMPLETED says that it is over, not that it went well
    GET response_url → the app's own status and body: {"images": [{"url", …}], "seed"?, "has_nsfw_concepts"?}
    PUT cancel_url   → 202, or 400 for what is over
    → 4xx, 5xx {"detail": [{"loc", "msg", "type"}]} from an app, {"detail", "error_type"} from fal;
      error_type also as header x-fal-error-type

A native id is the app's path. Server errors (5xx) are never charged; an input that a runner has worked on before it
refused it may be (fal.ai/docs, FAQ). There is no idempotency key.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from itertools import zip_longest
from typing import ClassVar
from urllib.parse import quote

from msgspec.structs import replace

from pictura.core.errors import BadRequest, Failed, Malformed, PicturaError, Refused
from pictura.core.model import Anything, Choice, Descriptor, Flag, Inputs, Mask, ModelCard, Prompt, Source, Span, Words
from pictura.core.money import per_million, usd
from pictura.core.price import PerMegapixel, PerPicture, PerToken, PriceList, Row, TokenFormula
from pictura.core.size import FreePixels, OwnSize, Shapes, Size
from pictura.infra.http import Answer
from pictura.infra.payload import Payload, json_payload
from pictura.providers.answers import (
    close_unused,
    closed_on_error,
    document_of,
    items,
    kept_url,
    mapping,
    picture,
    question,
    said,
    task_id,
    word,
)
from pictura.providers.base import (
    NOBODY,
    Ask,
    CancellingProvider,
    Channel,
    Done,
    Pending,
    Raw,
    error_from,
    retry_after,
    unreadable,
)
from pictura.providers.sizes import check_enlarged

_PAGES = Source("fal.ai/models/…/llms.txt", "2026-11-20", "official page, in part")
_COPIES = Source("fal.ai/models/fal-ai/esrgan/api, as copied into clients' documents", "2026", "third party")
_DEV_COPY = replace(_COPIES, name="fal.ai/models/fal-ai/flux/dev/api, as copied into clients' documents")
_TYPES = Source("fal-js types of 2026-02, and memory", "2026-11-20", "official SDK in part, memory")
_PRICES = Source("litellm 1.109.1", "2026-11", "third party")
_PAGE_PRICES = replace(_PAGES, name="fal.ai/models/…/llms.txt; litellm 1.109.1")

_SEED: dict[str, Descriptor] = {"seed": Span(0, 2**31 - 1)}
_CHECKER: dict[str, Descriptor] = {"enable_safety_checker": Flag(default=True)}
_TOLERANCE = Choice(("1", "2", "3", "4", "5", "6"))
_TEN_ASPECTS = ("1:1", "2:3", "3:2", "3:4", "4:3", "4:5", "5:4", "9:16", "16:9", "21:9")
# fal's words for these: landscape_4_3, square_hd, square, portrait_4_3, portrait_16_9, landscape_16_9. Wherever an app
# takes the words it takes any width and height.
_SIX_SIZES = ("1024x768", "1024x1024", "512x512", "768x1024", "576x1024", "1024x576")

_SCHNELL = ModelCard(
    id="fal-flux-schnell",
    native="fal-ai/flux/schnell",
    released=_PAGES.date,
    sizes=FreePixels(max_edge=14_142, presets=_SIX_SIZES, default="1024x768"),
    max_n=4,
    outputs=("jpeg", "png"),
    params={
        **_SEED,
        **_CHECKER,
        "steps": Span(1, 12, default=4),
        "guidance_scale": Span(1, 20, whole=False, default=3.5),
        "acceleration": Choice(("none", "regular", "high")),
    },
    price=PerMegapixel(usd("0.003"), usd("0.003")),
    price_source=_PAGE_PRICES,
    source=_PAGES,
)
_PRO = replace(
    _SCHNELL,
    id="fal-flux-pro-1.1",
    native="fal-ai/flux-pro/v1.1",
    params={**_SEED, **_CHECKER, "safety_tolerance": replace(_TOLERANCE, default="2"), "enhance_prompt": Flag()},
    price=PerMegapixel(usd("0.04"), usd("0.04")),
    price_source=_PRICES,
    source=_TYPES,
)
_BANANA = replace(
    _SCHNELL,
    id="fal-nano-banana",
    native="fal-ai/nano-banana",
    modes=("generate", "edit"),
    sizes=Shapes(aspects=_TEN_ASPECTS),
    inputs=Inputs(count=3, max_bytes=7_000_000),
    outputs=("png", "jpeg", "webp"),
    params={**_SEED, "safety_tolerance": replace(_TOLERANCE, default="4"), "limit_generations": Flag()},
    price=PerPicture(usd("0.039")),
    price_source=_PRICES,
    source=_TYPES,
    notes="The number and the bytes of inputs are taken over from gemini-2.5-flash-image.",
)
_BANANA_2 = replace(
    _BANANA,
    id="fal-nano-banana-2",
    native="fal-ai/nano-banana-2",
    sizes=Shapes(
        aspects=(*_TEN_ASPECTS, "1:4", "4:1", "1:8", "8:1"), tiers=("0.5K", "1K", "2K", "4K"), default_tier="1K"
    ),
    inputs=replace(_BANANA.inputs, count=14),
    price=PriceList(
        (
            Row(usd("0.06"), "", "0.5K"),
            Row(usd("0.08"), "", "1K"),
            Row(usd("0.12"), "", "2K"),
            Row(usd("0.16"), "", "4K"),
        )
    ),
    price_source=_PAGE_PRICES,
    source=_PAGES,
    notes="What costs extra, enable_web_search and thinking_level, is not offered.",
)

#: What works over a picture without a word.
_TOOL = replace(
    _SCHNELL,
    id="",
    native="",
    modes=("edit",),
    prompt=Prompt("none"),
    sizes=OwnSize(),
    max_n=1,
    inputs=Inputs(count=1, required=True),
    params={},
)

#: Apps whose edits have a path of their own, `…/edit`, and take a list however short.
_EDITED_APART = frozenset(
    {"fal-ai/nano-banana", "fal-ai/nano-banana-2", "fal-ai/nano-banana-pro", "openai/gpt-image-2"}
)
#: Options by our name, where fal's apps have another.
_NAMES: Mapping[str, str] = {"steps": "num_inference_steps", "upscale_factor": "scale", "variant": "model"}
#: What an app complains about, by our name.
_OURS: Mapping[str, str] = {
    "num_inference_steps": "steps",
    "num_images": "n",
    "image_size": "size",
    "aspect_ratio": "size",
    "resolution": "size",
    "scale": "upscale_factor",
    "model": "variant",
    "image_url": "image",
    "image_urls": "image",
    "mask_url": "mask",
}
_REFUSALS = frozenset({"content_policy_violation"})
#: fal's own status for a task that was taken back; all above it are failures.
_CANCELLED = 499
_OVER = "COMPLETED"
#: The queue under both of its names, and fal itself (fal_client 1.0.3). Nobody else is told our key.
_HOSTS = frozenset({"queue.fal.run", "queue.falrun.com", "fal.run", "falrun.com"})
#: Namespaces of apps whose ids have a third part before their path.
_NAMESPACES = ("workflows", "comfy")
#: The SDK asks ten times as often; pictures take seconds.
POLL_S = 1.0


class Fal(CancellingProvider):
    """fal, https://fal.ai/docs. Answers by task id, through its queue."""

    name = "fal"
    base_url = "https://queue.fal.run"
    env: ClassVar = {"api_key": "FAL_KEY"}
    sandbox_path = "/fal"
    MODELS = (
        _SCHNELL,
        replace(
            _SCHNELL,
            id="fal-flux-dev",
            native="fal-ai/flux/dev",
            params={**_SCHNELL.params, "steps": Span(1, 50, default=28)},
            price=PerMegapixel(usd("0.025"), usd("0.025")),
            price_source=replace(_PRICES, name="litellm 1.109.1; fal's page, as copied"),
            source=_DEV_COPY,
        ),
        _PRO,
        replace(
            _PRO,
            id="fal-flux-pro-1.1-ultra",
            native="fal-ai/flux-pro/v1.1-ultra",
            modes=("generate", "edit"),
            sizes=Shapes(
                aspects=("21:9", "16:9", "4:3", "3:2", "1:1", "2:3", "3:4", "9:16", "9:21"), default_aspect="16:9"
            ),
            inputs=Inputs(count=1),
            params={**_PRO.params, "raw": Flag(), "image_prompt_strength": Span(0, 1, whole=False, default=0.1)},
            price=PerPicture(usd("0.06")),
            price_source=_PAGE_PRICES,
            source=_PAGES,
        ),
        _BANANA,
        _BANANA_2,
        replace(
            _BANANA_2,
            id="fal-nano-banana-pro",
            native="fal-ai/nano-banana-pro",
            sizes=Shapes(aspects=_TEN_ASPECTS, tiers=("1K", "2K", "4K"), default_tier="1K"),
            price=PriceList((Row(usd("0.15"), "", "1K"), Row(usd("0.15"), "", "2K"), Row(usd("0.30"), "", "4K"))),
            notes="enable_web_search, which costs extra, is not offered.",
        ),
        replace(
            _SCHNELL,
            id="fal-gpt-image-2",
            native="openai/gpt-image-2",
            modes=("generate", "edit", "inpaint"),
            sizes=FreePixels(
                step=16,
                min_pixels=655_360,
                max_pixels=8_294_400,
                max_edge=3840,
                max_ratio=3,
                presets=("1024x1024", "1536x1024", "1024x1536"),
            ),
            inputs=Inputs(count=16),
            mask=Mask(),
            outputs=("png", "jpeg", "webp"),
            params={"quality": Choice(("auto", "low", "medium", "high"), "high")},
            # As at OpenAI: the page names the same prices for tokens.
            price=PerToken(
                text_in=per_million("5"),
                cached_in=per_million("1.25"),
                text_out=per_million("10"),
                image_in=per_million("8"),
                image_out=per_million("30"),
                output=TokenFormula({"low": 16, "medium": 48, "high": 96}),
            ),
            notes="That the mask goes on to OpenAI as it is, transparent where it is edited, is an inference.",
        ),
        replace(
            _SCHNELL,
            id="fal-seedream-3.0",
            native="fal-ai/bytedance/seedream/v3/text-to-image",
            sizes=FreePixels(min_edge=512, max_edge=2048, presets=("1024x1024", "1024x768", "768x1024")),
            outputs=("png",),
            params={**_SEED, **_CHECKER, "guidance_scale": Span(1, 10, whole=False, default=2.5)},
            price=PerPicture(usd("0.03")),
            price_source=_PRICES,
            source=_TYPES,
        ),
        replace(
            _SCHNELL,
            id="fal-ideogram-3",
            native="fal-ai/ideogram/v3",
            sizes=replace(_SCHNELL.sizes, default="1024x1024"),
            max_n=8,
            outputs=("png",),
            params={
                **_SEED,
                "negative_prompt": Words(10_000),
                "style": Choice(("AUTO", "GENERAL", "REALISTIC", "DESIGN")),
                "expand_prompt": Flag(default=True),
            },
            price=PerPicture(usd("0.06")),
            price_source=_PRICES,
            source=_TYPES,
            notes="rendering_speed, which changes the price, is left at BALANCED.",
        ),
        replace(
            _SCHNELL,
            id="fal-recraft-3",
            native="fal-ai/recraft/v3/text-to-image",
            prompt=Prompt(max_chars=1_000),
            sizes=replace(_SCHNELL.sizes, default="1024x1024"),
            max_n=1,
            outputs=("png",),
            params={"style": Choice(("any", "realistic_image", "digital_illustration"), "realistic_image")},
            price=PerPicture(usd("0.04")),
            notes="Vector styles, which give no picture of pixels and cost twice as much, are not offered.",
        ),
        replace(
            _SCHNELL,
            id="fal-hunyuan-world",
            native="fal-ai/hunyuan_world",
            modes=("edit",),
            sizes=OwnSize(pixels="1920x960"),
            max_n=1,
            inputs=Inputs(count=1, required=True),
            outputs=("png",),
            params={},
            price=PerPicture(usd("0.15")),
            notes="A panorama of 360° from a picture.",
        ),
        replace(
            _TOOL,
            id="fal-recraft-vectorize",
            native="fal-ai/recraft/vectorize",
            # The bounds themselves are excluded.
            inputs=replace(_TOOL.inputs, max_bytes=5_000_000, max_pixels=15_999_999, min_edge=257, max_edge=4095),
            outputs=("svg",),
            price=PerPicture(usd("0.01")),
            price_source=_PAGES,
        ),
        replace(
            _TOOL,
            id="fal-bria-remove-background",
            native="fal-ai/bria/background/remove",
            outputs=("png",),
            transparent=True,
            price=PerPicture(usd("0.018")),
            price_source=_PAGES,
        ),
        replace(
            _TOOL,
            id="fal-esrgan",
            native="fal-ai/esrgan",
            outputs=("png", "jpeg"),
            params={
                "upscale_factor": Span(1, 8, whole=False, default=2),
                "variant": Choice(
                    (
                        *("RealESRGAN_x4plus", "RealESRGAN_x2plus", "RealESRGAN_x4plus_anime_6B"),
                        *("RealESRGAN_x4_v3", "RealESRGAN_x4_wdn_v3", "RealESRGAN_x4_anime_v3"),
                    ),
                    "RealESRGAN_x4plus",
                ),
                "face": Flag(default=False),
                "tile": Span(0, 4096, default=0),
            },
            price=None,
            price_source=None,
            source=_COPIES,
            notes="Billed by the second of its GPU, at $0.00111 (third party, 2026).",
        ),
    )

    def generic(self, model: str) -> ModelCard:
        """What an app that we know nothing of might take by fal's conventions."""
        return replace(_GENERIC, id=model)

    async def start(self, ask: Ask, via: Channel) -> Done | Pending:
        edit = "/edit" if ask.images and ask.native in _EDITED_APART else ""
        check_enlarged(ask)
        answer = await _send("POST", f"/{quote(ask.native)}{edit}", via, json_payload(_fields(ask)))
        with closed_on_error(answer):
            document = self._document(answer, via)
        if id := task_id(document.get("request_id")):
            answer.close()
            return _pending(id, document, ask.native, via)
        return self._done(answer, via)  # base_url is fal.run, which answers at once

    async def check(self, task: Pending, via: Channel) -> Done | Pending:
        answer = await _send("GET", task.state["status"], via)
        answer.close()
        with question(answer):
            status = self._document(answer, via, {})
        if word(status.get("status")) != _OVER:
            return task
        return self._done(await _send("GET", task.state["response"], via), via, status)

    async def cancel(self, task: Pending, via: Channel) -> None:
        answer = await _send("PUT", task.state["cancel"], via)
        answer.close()
        if answer.status not in (200, 202, 400, 404):  # the latter two: it is over, or was never there
            raise self._error(answer, via)

    def _document(
        self, answer: Answer, via: Channel, status: Mapping[str, object] | None = None
    ) -> Mapping[str, object]:
        """What was answered, where it is no error."""
        if answer.status not in (200, 202):
            raise self._error(answer, via, status)
        return mapping(answer.json())

    def _done(self, answer: Answer, via: Channel, status: Mapping[str, object] | None = None) -> Done:
        """The app's answer; `status` is what the queue said of its task, where there was one."""
        with closed_on_error(answer):
            if answer.status != 200:
                raise self._error(answer, via, status)
            with question(answer) if status is not None else nullcontext():
                document = mapping(answer.json())
            pictures, flagged = _pictures(document, answer)
            if not pictures:
                raise self._no_picture(flagged, status, answer, via)
        close_unused(answer.pictures, pictures)
        text = document.get("description")
        return Done(pictures=tuple(pictures), texts=(text,) if isinstance(text, str) and text else ())

    def _no_picture(
        self, flagged: bool, status: Mapping[str, object] | None, answer: Answer, via: Channel
    ) -> PicturaError:
        if flagged:
            # It was drawn, and then blackened.
            message = "the provider's safety checker found the picture not safe to be shown"
            return Refused(message, reason="has_nsfw_concepts", by=self.name, billed=True)
        if status and status.get("error"):
            return Failed(said(status["error"], via), upstream_code=str(status.get("error_type") or ""))
        return Malformed("the provider answered without a picture", upstream_status=answer.status)

    def _error(self, answer: Answer, via: Channel, status: Mapping[str, object] | None = None) -> PicturaError:
        """The error of the tree.

        `status` is what the queue said of a task that is over, {} while that is not known, None where there is no task.
        """
        document = document_of(answer)
        ended = status or {}
        detail = document.get("detail") or ended.get("error")
        details = items(detail)
        if not details and not isinstance(detail, str):
            return unreadable(answer)
        kinds = [str(entry.get("type", "")) for entry in details]
        named = (document.get("error_type"), answer.headers.get("x-fal-error-type"), *kinds, ended.get("error_type"))
        kind = str(next(filter(None, named), ""))
        message = said("; ".join(str(entry.get("msg", "")) for entry in details) or detail, via)
        if refusal := _REFUSALS.intersection(kinds):
            return Refused(message, reason=min(refusal), by=self.name, billed=status is not None)
        if answer.status in (400, 413, 422):
            return BadRequest(message, param=_param(details))
        if status and answer.status >= 500 and (status.get("error") or kind):
            # The task's own end: no upstream_status, which would have the engine ask again.
            return Failed(message, upstream_code=kind, unbilled=True)
        if answer.status >= _CANCELLED:
            # Before there is a task, what fails is not charged; after that, this says nothing about the task.
            unbilled = answer.status >= 500 and status is None
            return Failed(message, upstream_status=answer.status, upstream_code=kind, unbilled=unbilled)
        return error_from(answer.status, message, kind, retry_after(answer))


_GENERIC = replace(
    _SCHNELL,
    id="",
    native="",
    released="",
    modes=("generate", "edit", "inpaint"),
    prompt=Prompt("optional", max_chars=200_000),
    sizes=FreePixels(presets=_SIX_SIZES),
    inputs=Inputs(count=16),
    mask=Mask(max_bytes=25_000_000),
    outputs=("png", "jpeg", "webp"),
    params=dict.fromkeys(
        (
            *("seed", "steps", "guidance_scale", "strength", "negative_prompt", "style", "quality", "background"),
            *("enable_safety_checker", "safety_tolerance", "acceleration", "enhance_prompt", "expand_prompt", "loras"),
            *("rendering_speed", "raw", "input_fidelity"),
        ),
        Anything(),
    ),
    price=None,
    price_source=None,
    source=NOBODY,
)


async def _send(method: str, path: str, via: Channel, body: Payload | None = None) -> Answer:
    headers = {"Authorization": f"Key {via.secrets.get('api_key', '')}"}
    request = via.request(method, path, headers=headers, body=body)
    # An app may be made to answer with data URLs where URLs belong.
    return await via.http.send(replace(request, data_urls=True))


# -- what is sent --


def _fields(ask: Ask) -> dict[str, object]:
    fields = {**_size(ask.size), **_inputs(ask), **ask.options(_NAMES)}
    if ask.prompt:
        fields["prompt"] = ask.prompt
    if ask.card.max_n > 1:
        fields["num_images"] = ask.n
    # An app with one format knows no word about it.
    if ask.output_format and len(ask.card.outputs) > 1:
        fields["output_format"] = ask.output_format
    return fields


def _size(size: Size) -> dict[str, object]:
    """Pixels for apps of fal's own making, aspect and tier for those that hand on Google's and others' models."""
    if size.width:
        return {"image_size": {"width": size.width, "height": size.height}}
    return {name: word for name, word in (("aspect_ratio", size.aspect), ("resolution", size.tier)) if word}


def _inputs(ask: Ask) -> dict[str, object]:
    """By convention one picture goes alone, and several in a list."""
    urls = [image.data_url for image in ask.images]
    mask: dict[str, object] = {"mask_url": ask.mask.data_url} if ask.mask else {}
    if not urls:
        return mask
    if len(urls) > 1 or ask.native in _EDITED_APART:
        return {"image_urls": urls, **mask}
    return {"image_url": urls[0], **mask}


# -- what comes back --


def _pending(id: str, document: Mapping[str, object], native: str, via: Channel) -> Pending:
    parts = native.split("/")
    app = "/".join(parts[: 3 if parts[0] in _NAMESPACES else 2])
    request = f"/{quote(app)}/requests/{quote(id, safe='')}"
    return Pending(
        upstream_id=id,
        poll_after_s=POLL_S,
        state={
            "status": kept_url(document.get("status_url"), via, _is_of_fal) or f"{request}/status",
            "response": kept_url(document.get("response_url"), via, _is_of_fal) or request,
            "cancel": kept_url(document.get("cancel_url"), via, _is_of_fal) or f"{request}/cancel",
        },
    )


def _is_of_fal(host: str) -> bool:
    return host in _HOSTS


def _pictures(document: Mapping[str, object], answer: Answer) -> tuple[list[Raw], bool]:
    """The pictures that may be shown, and whether there are others."""
    entries = items(document.get("images")) or items([document.get("image")])
    flags = document.get("has_nsfw_concepts")
    seed = document.get("seed")
    pictures: list[Raw] = []
    flagged = False
    for entry, unsafe in zip_longest(entries, flags if isinstance(flags, list) else []):
        if unsafe is True:
            flagged = True
        elif raw := picture([mapping(entry).get("url")], answer.pictures, seed=seed):
            pictures.append(raw)
    return pictures, flagged


def _param(details: Sequence[Mapping[str, object]]) -> str | None:
    """The field that the first complaint is about: `loc` is like ["body", "image_size", "width"]."""
    loc = details[0].get("loc") if details else None
    field = loc[1] if isinstance(loc, list) and len(loc) > 1 else None
    return _OURS.get(word(field), word(field)) or None
