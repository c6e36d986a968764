"""Replicate, https://replicate.com: other people's models, each with an input of its own. Answers by task id.

Wire facts: replicate-python 1.0.7 (seen 2026-11-20, confidence: official SDK) and replicate.com's pages on predictions
and error codes (stored copies, 2026; documented) unless said otherwise.

    POST /models/{owner}/{name}/predictions   {"input"}              models that Replicate itself keeps ready
    POST /predictions                         {"version", "input"}   everybody else's
    POST /deployments/{owner}/{name}/predictions   {"input"}
    GET  /predictions/{id}      POST /predictions/{id}/cancel
    → {"id", "status", "input", "output", "error", "metrics", …}
      status: starting, processing; succeeded, failed, canceled, aborted
      output: a URL, a list of them, or an object with some in it; files live for an hour
    POST /files   multipart: `content` → {"urls": {"get"}}           pictures too large for a data URL
    → 4xx, 5xx {"title", "detail", "status"}; 422 also {"invalid_fields": [{"field": "input.…", "type", "description"}]}

A refusal is a prediction that failed. Its `error` is text, and only a code of the form E005 in it is meaning: "flagged
as sensitive" (third party, 2026). Models that refuse in free words (`NSFW content detected`) merely fail.

`Prefer: wait` is not used: an id in hand is worth more than an answer a second sooner. There is no idempotency key.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from contextlib import nullcontext
from typing import ClassVar, Literal
from urllib.parse import quote

import msgspec
from msgspec.structs import replace

from pictura.core.errors import BadRequest, Failed, Lost, Malformed, PicturaError, Refused, Rejected
from pictura.core.model import Anything, Choice, Descriptor, Flag, Inputs, Mask, ModelCard, Prompt, Source, Span
from pictura.core.money import usd
from pictura.core.price import PerMegapixel, PerPicture, PriceList, Row
from pictura.core.size import FreePixels, OwnSize, Shapes, nearest
from pictura.infra.http import Answer
from pictura.infra.payload import Payload, json_payload, multipart_payload
from pictura.providers.answers import (
    close_unused,
    closed_on_error,
    document_of,
    items,
    mapping,
    picture,
    question,
    said,
    task_id,
    whole,
    word,
)
from pictura.providers.base import (
    NOBODY,
    Ask,
    AskPicture,
    CancellingProvider,
    Channel,
    Done,
    Pending,
    Raw,
    error_from,
    retry_after,
    unreadable,
)
from pictura.providers.masks import white_where_edited
from pictura.providers.sizes import check_enlarged

_PAGES = Source("replicate.com's page of the model", "2026-11-20", "documented")
_COPIED = Source("replicate.com's page of the model, as copied by who resells it", "2026", "documented, copied")
_PRICES = Source("replicate.com/pricing, read 2026-10-07 by api-evangelist", "2026-10-07", "third party")
_RESOLD = Source("resellers' lists of Replicate's prices", "2026", "third party")
_LUMENFALL = Source("lumenfall.ai's table of what Replicate takes", "2026", "third party")
_COPIES = Source("clients' code; replicate.com's pages of earlier versions and of sister models", "2026", "third party")
_RECRAFT = replace(_RESOLD, name=f"{_RESOLD.name}; Recraft's pricing page, which asks as much")

_TEN_ASPECTS = ("1:1", "2:3", "3:2", "3:4", "4:3", "4:5", "5:4", "9:16", "16:9", "21:9")
_SEED: dict[str, Descriptor] = {"seed": Span(0, 2**31 - 1)}
_PRO_OPTIONS: dict[str, Descriptor] = {
    **_SEED,
    "prompt_upsampling": Flag(default=False),
    "safety_tolerance": Span(1, 6, default=2),
}

_SCHNELL = ModelCard(
    id="replicate-flux-schnell",
    native="black-forest-labs/flux-schnell",
    released=_PAGES.date,
    sizes=Shapes(aspects=(*_TEN_ASPECTS, "9:21"), tiers=("0.5K", "1K"), default_tier="1K"),
    max_n=4,
    outputs=("webp", "jpeg", "png"),
    params={
        **_SEED,
        "steps": Span(1, 4, default=4),
        "go_fast": Flag(default=True),
        "disable_safety_checker": Flag(default=False),
    },
    price=PerPicture(usd("0.003")),
    price_source=_PRICES,
    source=_PAGES,
)
_PRO = replace(
    _SCHNELL,
    id="replicate-flux-1.1-pro",
    native="black-forest-labs/flux-1.1-pro",
    modes=("generate", "edit"),
    sizes=FreePixels(
        step=32,
        min_edge=256,
        max_edge=1440,
        presets=("1024x1024", "1344x768", "768x1344", "1216x832", "832x1216", "1152x896", "896x1152"),
        default="1024x1024",
    ),
    max_n=1,
    inputs=Inputs(count=1, formats=("png", "jpeg", "webp", "gif")),
    params=_PRO_OPTIONS,
    price=PerPicture(usd("0.04")),
    notes="A picture guides the composition (Flux Redux).",
)
#: The version that clients name (2024 to 2026, third party); only models that Replicate keeps ready go without.
_REAL_ESRGAN = "f121d640bd286e1fdc67f9799164c1d5be36ff74576ee11c803ae5b665dd46aa"
#: What works over a picture without a word.
_TOOL = ModelCard(
    id="replicate-recraft-vectorize",
    native="recraft-ai/recraft-vectorize",
    released=_PAGES.date,
    modes=("edit",),
    prompt=Prompt("none"),
    inputs=Inputs(count=1, max_bytes=5_000_000, required=True, max_pixels=16_000_000, min_edge=256, max_edge=4096),
    outputs=("svg",),
    price=PerPicture(usd("0.01")),
    price_source=_RECRAFT,
    source=_COPIES,
)


class Replicate(CancellingProvider):
    """Replicate, https://replicate.com/docs/reference/http. Answers by task id."""

    name = "replicate"
    base_url = "https://api.replicate.com/v1"
    env: ClassVar = {"api_key": "REPLICATE_API_TOKEN"}
    sandbox_path = "/replicate/v1"
    MODELS = (
        _SCHNELL,
        replace(
            _SCHNELL,
            id="replicate-flux-dev",
            native="black-forest-labs/flux-dev",
            modes=("generate", "edit"),
            inputs=Inputs(count=1),
            params={
                **_SCHNELL.params,
                "steps": Span(1, 50, default=28),
                "guidance_scale": Span(0, 10, whole=False, default=3),
                "strength": Span(0, 1, whole=False, default=0.8),
            },
            price=PerPicture(usd("0.025")),
            notes="An edit has the aspect of its picture.",
        ),
        _PRO,
        replace(
            _PRO,
            id="replicate-flux-kontext-max",
            native="black-forest-labs/flux-kontext-max",
            sizes=Shapes(aspects=(*_TEN_ASPECTS, "9:21", "1:2", "2:1")),
            outputs=("png", "jpeg"),
            params={**_PRO_OPTIONS, "safety_tolerance": Span(0, 6, default=2)},
            price=PerPicture(usd("0.08")),
            price_source=_RESOLD,
            notes="With a picture, safety_tolerance may be at most 2. The input is that of flux-kontext-pro's page.",
        ),
        replace(
            _PRO,
            id="replicate-flux-2-flex",
            native="black-forest-labs/flux-2-flex",
            sizes=FreePixels(
                step=32,
                min_edge=256,
                max_edge=2048,
                max_pixels=4_194_304,
                presets=("1024x1024", "1344x768", "768x1344", "1216x832", "832x1216", "2048x2048"),
                default="1024x1024",
            ),
            inputs=Inputs(count=10, formats=("png", "jpeg", "webp", "gif")),
            params={
                **_PRO_OPTIONS,
                "prompt_upsampling": Flag(default=True),
                "safety_tolerance": Span(1, 5, default=2),
                "steps": Span(1, 50, default=30),
                "guidance_scale": Span(1.5, 10, whole=False, default=4.5),
            },
            price=PerMegapixel(usd("0.06"), usd("0.06"), usd("0.06")),
            price_source=_LUMENFALL,
            source=_COPIED,
            notes="Every input is billed as whole megapixels, here as one.",
        ),
        replace(
            _PRO,
            id="replicate-flux-fill-pro",
            native="black-forest-labs/flux-fill-pro",
            modes=("edit", "inpaint"),
            sizes=OwnSize(),
            inputs=Inputs(count=1, required=True),
            mask=Mask(),
            outputs=("jpeg", "png"),
            params={
                **_PRO_OPTIONS,
                "steps": Span(15, 50, default=50),
                "guidance_scale": Span(1.5, 100, whole=False, default=60),
            },
            price=PerPicture(usd("0.05")),
            price_source=_RESOLD,
            source=_COPIED,
            notes="The wire's masks are white where it paints.",
        ),
        replace(
            _PRO,
            id="replicate-seedream-4.5",
            native="bytedance/seedream-4.5",
            prompt=Prompt(max_chars=4_000),
            sizes=Shapes(
                aspects=("1:1", "4:3", "3:4", "16:9", "9:16", "3:2", "2:3", "21:9"),
                tiers=("2K", "4K"),
                default_tier="2K",
            ),
            inputs=Inputs(count=14),
            outputs=("jpeg",),
            params={},
            price=PerPicture(usd("0.04")),
            price_source=Source("llm-stats.com/models/seedream-4.5", "2026", "third party"),
            notes="Which aspects there are is as on seedream-4's page. Another price list of 2026 names $0.045.",
        ),
        replace(
            _PRO,
            id="replicate-nano-banana-pro",
            native="google/nano-banana-pro",
            sizes=Shapes(aspects=_TEN_ASPECTS, tiers=("1K", "2K", "4K"), default_tier="2K"),
            inputs=Inputs(count=14),
            outputs=("jpeg", "png"),
            params={
                "safety_filter_level": Choice(
                    ("block_low_and_above", "block_medium_and_above", "block_only_high"), "block_only_high"
                )
            },
            price=PriceList((Row(usd("0.15"), "", "1K"), Row(usd("0.15"), "", "2K"), Row(usd("0.30"), "", "4K"))),
            price_source=_LUMENFALL,
            source=_PAGES,
            notes="",
        ),
        _TOOL,
        replace(
            _TOOL,
            id="replicate-recraft-remove-background",
            native="recraft-ai/recraft-remove-background",
            outputs=("png",),
            transparent=True,
        ),
        replace(
            _TOOL,
            id="replicate-real-esrgan",
            native=f"nightmareai/real-esrgan:{_REAL_ESRGAN}",
            aliases=("nightmareai/real-esrgan",),
            inputs=Inputs(count=1, required=True, max_pixels=2_096_704),
            outputs=("png",),
            params={"upscale_factor": Span(1, 10, whole=False, default=4), "face_enhance": Flag(default=False)},
            price=None,
            price_source=None,
            notes="Billed by the second of its GPU, about $0.002 a picture.",
        ),
    )

    def generic(self, model: str) -> ModelCard:
        """What any model might take. `model`: `owner/name`, `owner/name:version`, a version or `deployments/…`."""
        return replace(_GENERIC, id=model)

    async def start(self, ask: Ask, via: Channel) -> Done | Pending:
        check_enlarged(ask)
        path, body = _target(ask.native)
        given = await self._input(ask, via)
        return self._outcome(await _send(via, "POST", path, json_payload({**body, "input": given})), via)

    async def check(self, task: Pending, via: Channel) -> Done | Pending:
        answer = await _send(via, "GET", _prediction(task))
        outcome = self._outcome(answer, via, polled=True)
        return task if isinstance(outcome, Pending) else outcome

    async def cancel(self, task: Pending, via: Channel) -> None:
        answer = await _send(via, "POST", f"{_prediction(task)}/cancel")
        try:
            if answer.status >= 300:
                raise self._error(answer, via)
        finally:
            answer.close()

    async def _input(self, ask: Ask, via: Channel) -> Mapping[str, object]:
        wire = _WIRES.get(ask.native.partition(":")[0], _ANY)
        fields = _fields(ask, wire)
        references = [await self._reference(image, via) for image in ask.images]
        if references:
            fields |= {wire.pictures: references} if wire.pictures else {wire.picture: references[0]}
        if ask.mask:
            fields["mask"] = (await white_where_edited(ask.mask)).data_url
        return fields

    async def _reference(self, image: AskPicture, via: Channel) -> object:
        """The picture as a data URL, or the URL under which Replicate keeps it for us."""
        if image.source.size <= INLINE_BYTES:
            return image.data_url
        form = multipart_payload([image.part("content")])
        try:
            return self._kept(await _send(via, "POST", "/files", form), via)
        except (Lost, Failed, Malformed) as error:  # nothing is drawn yet, and a file costs nothing
            raise Rejected(error.message, upstream_status=error.upstream_status) from error

    def _kept(self, answer: Answer, via: Channel) -> str:
        """The URL of a file that was sent."""
        try:
            if answer.status >= 300:
                raise self._error(answer, via)
            url = mapping(mapping(answer.json()).get("urls")).get("get")
        finally:
            answer.close()
        if not isinstance(url, str):
            raise Malformed("the provider took a picture, but did not say where it keeps it")
        return url

    def _outcome(self, answer: Answer, via: Channel, *, polled: bool = False) -> Done | Pending:
        with closed_on_error(answer):
            with question(answer) if polled else nullcontext():
                prediction = self._told(answer, via)
            outcome = self._read(prediction, answer, via)
        # The input is repeated in every answer, pictures and all.
        close_unused(answer.pictures, outcome.pictures if isinstance(outcome, Done) else ())
        return outcome

    def _told(self, answer: Answer, via: Channel) -> Mapping[str, object]:
        if answer.status >= 300:
            raise self._error(answer, via)
        prediction = mapping(answer.json())
        if not task_id(prediction.get("id")):
            raise Malformed("the provider answered without a prediction", upstream_status=answer.status)
        return prediction

    def _read(self, prediction: Mapping[str, object], answer: Answer, via: Channel) -> Done | Pending:
        status = str(prediction.get("status"))
        if status in _ENDED_BADLY:
            raise self._verdict(prediction, status, via)
        if status != "succeeded":
            return Pending(upstream_id=task_id(prediction["id"]), poll_after_s=1.0)
        pictures = [raw for value in _values(prediction.get("output")) if (raw := picture((value,), answer.pictures))]
        if not pictures:
            raise Malformed("the provider's prediction succeeded without a picture", upstream_status=answer.status)
        return Done(pictures=_seeded(pictures, mapping(prediction.get("input"))))

    def _verdict(self, prediction: Mapping[str, object], status: str, via: Channel) -> PicturaError:
        error = prediction.get("error") or f"the prediction was {status}"
        message = said(error, via)
        found = _CODE.search(error) if isinstance(error, str) else None
        code = found[0] if found else ""
        if code in _REFUSALS:
            return Refused(message, reason=code, by=self.name)
        # Aborted is what ran out of time before it could start.
        return Failed(message, upstream_code=code or status, unbilled=status == "aborted")

    def _error(self, answer: Answer, via: Channel) -> PicturaError:
        problem = document_of(answer)
        words = problem.get("detail") or problem.get("title")
        if not words:
            return unreadable(answer)
        message = said(words, via)
        if answer.status == 422:
            return BadRequest(message, param=_param(problem))
        return error_from(answer.status, message, retry_after_s=retry_after(answer))


class Wire(msgspec.Struct, frozen=True, kw_only=True):
    """How one model's input calls what models share.

    `picture` takes one, `pictures` a list. `pixels`: `custom` where width and height need the aspect "custom", `beside`
    where the aspect is told too. `matching`: said with pictures where no size was chosen.
    """

    picture: str = "image"
    pictures: str = ""
    tier: str = "resolution"
    tiers: Mapping[str, str] = {}
    pixels: Literal["custom", "beside"] = "beside"
    options: Mapping[str, str] = {}
    matching: Mapping[str, str] = {}


#: As most call it, for models that nobody described.
_ANY = Wire(options={"steps": "num_inference_steps", "strength": "prompt_strength"})
_FLUX_1 = Wire(
    tier="megapixels",
    tiers={"0.5K": "0.25", "1K": "1"},
    options={"steps": "num_inference_steps", "guidance_scale": "guidance", "strength": "prompt_strength"},
)
_KONTEXT = Wire(picture="input_image")
_FLUX_2 = Wire(
    pictures="input_images",
    pixels="custom",
    options={"guidance_scale": "guidance"},
    matching={"aspect_ratio": "match_input_image", "resolution": "match_input_image"},
)
_SEEDREAM = Wire(pictures="image_input", tier="size")
_BANANA = Wire(pictures="image_input")
#: By model, those without a card among them: a channel may lead other cards here.
_WIRES: Mapping[str, Wire] = {
    "black-forest-labs/flux-schnell": _FLUX_1,
    "black-forest-labs/flux-dev": _FLUX_1,
    "black-forest-labs/flux-1.1-pro": Wire(picture="image_prompt", pixels="custom"),
    "black-forest-labs/flux-1.1-pro-ultra": Wire(picture="image_prompt"),
    "black-forest-labs/flux-kontext-pro": _KONTEXT,
    "black-forest-labs/flux-kontext-max": _KONTEXT,
    "black-forest-labs/flux-2-pro": _FLUX_2,
    "black-forest-labs/flux-2-max": _FLUX_2,
    "black-forest-labs/flux-2-flex": _FLUX_2,
    "black-forest-labs/flux-fill-pro": Wire(options={"guidance_scale": "guidance"}),
    "bytedance/seedream-4": _SEEDREAM,
    "bytedance/seedream-4.5": _SEEDREAM,
    "bytedance/seedream-5-lite": _SEEDREAM,
    "google/nano-banana": _BANANA,
    "google/nano-banana-2": _BANANA,
    "google/nano-banana-pro": _BANANA,
    "nightmareai/real-esrgan": Wire(options={"upscale_factor": "scale"}),
    "recraft-ai/recraft-remove-background": Wire(),
    "recraft-ai/recraft-vectorize": Wire(),
}

_GENERIC = ModelCard(
    id="",
    modes=("generate", "edit", "inpaint"),
    prompt=Prompt("optional", max_chars=200_000),
    sizes=FreePixels(presets=("1024x1024", "1344x768", "768x1344", "1216x832", "832x1216")),
    inputs=Inputs(count=1, formats=("png", "jpeg", "webp", "gif"), max_bytes=50_000_000),
    mask=Mask(max_bytes=50_000_000),
    outputs=("webp", "jpeg", "png"),
    params=dict.fromkeys(
        (
            *("seed", "negative_prompt", "steps", "num_inference_steps", "guidance_scale", "guidance", "strength"),
            *("prompt_strength", "scheduler", "style", "style_type", "quality", "background", "moderation"),
            *("prompt_upsampling", "safety_tolerance", "safety_filter_level", "disable_safety_checker", "go_fast"),
            *("raw", "megapixels", "lora_weights", "lora_scale", "rendering_speed", "magic_prompt_option"),
        ),
        Anything(),
    ),
    source=NOBODY,
)

#: A data URL may have a megabyte (memory), and base64 takes a third more than the bytes.
INLINE_BYTES = 700_000
_ENDED_BADLY = frozenset({"failed", "canceled", "aborted"})
_CODE = re.compile(r"(?<=\()E\d{3,4}(?=\))|^E\d{3,4}\b")
#: "The input or output was flagged as sensitive."
_REFUSALS = frozenset({"E005"})
_COMMON = Shapes(aspects=(*_TEN_ASPECTS, "9:21"))
_FORMATS = {"jpeg": "jpg"}


async def _send(via: Channel, method: str, path: str, body: Payload | None = None) -> Answer:
    request = via.request(method, path, headers=via.bearer, body=body)
    # Small outputs, and all inputs, come as data URLs.
    return await via.http.send(replace(request, data_urls=True))


def _target(native: str) -> tuple[str, Mapping[str, object]]:
    """Where a model is asked, and what the body says of it."""
    model, _, version = native.partition(":")
    if version or "/" not in model:
        return "/predictions", {"version": version or model}
    folder = "" if model.startswith("deployments/") else "/models"
    return f"{folder}/{quote(model)}/predictions", {}


def _prediction(task: Pending) -> str:
    return f"/predictions/{quote(task.upstream_id, safe='')}"


def _fields(ask: Ask, wire: Wire) -> dict[str, object]:
    """The input but for its pictures."""
    fields: dict[str, object] = {"prompt": ask.prompt} if ask.prompt else {}
    fields |= _size(ask, wire)
    if ask.n > 1:
        fields["num_outputs"] = ask.n
    if ask.output_format and len(ask.card.outputs) > 1:
        fields["output_format"] = _FORMATS.get(ask.output_format, ask.output_format)
        if ask.output_compression is not None and ask.output_format != "png":
            fields["output_quality"] = ask.output_compression
    return fields | ask.options(wire.options)


def _size(ask: Ask, wire: Wire) -> Mapping[str, object]:
    size = ask.size
    if size.auto:
        return wire.matching if ask.images else {}
    if size.width:
        aspect = "custom" if wire.pixels == "custom" else nearest(size, _COMMON).aspect
        return {"aspect_ratio": aspect, "width": size.width, "height": size.height}
    words = {"aspect_ratio": size.aspect, wire.tier: wire.tiers.get(size.tier, size.tier)}
    return {name: word for name, word in words.items() if word}


def _values(output: object) -> list[object]:
    """What stands in an output: itself, the entries of a list, the values of an object and of lists in it."""
    if isinstance(output, dict):
        return [value for entry in output.values() for value in _values(entry)]
    if isinstance(output, list):
        return [value for entry in output for value in _values(entry)]
    return [output]


def _seeded(pictures: list[Raw], given: Mapping[str, object]) -> tuple[Raw, ...]:
    """A seed is told of the first picture alone: the others' follow from it in each model's own way."""
    pictures[0].seed = whole(given.get("seed"))
    return tuple(pictures)


def _param(problem: Mapping[str, object]) -> str | None:
    """The first field that is wrong, as the model calls it."""
    for wrong in items(problem.get("invalid_fields")):
        return word(wrong.get("field")).removeprefix("input.") or None
    return None
