"""Stability AI v2beta, https://api.stability.ai: Stable Image with its editing services, and the models of SD 3.5.

Wire facts: the vendor's own OpenAPI document, as tryAGI/StabilityAI keeps it (2026; confidence: official
specification, at second hand) unless said otherwise.

    POST /v2beta/stable-image/{service}   multipart/form-data even for mere text; Accept: image/*
    → 200 the picture's bytes, with headers `finish-reason` (SUCCESS or CONTENT_FILTERED) and `seed`
    → 200 or 202 {"id"}: a task (creative upscale, replace background and relight)
    GET /v2beta/results/{id}              at most every 10 s; kept for 24 hours
    → 202 while it runs, then as above
    → 4xx, 5xx {"id", "name", "errors": ["some-field: is required"]}

A native id is the path of a service, or one of the models of generate/sd3. There is no n, no cancel and no idempotency
key. A success costs a flat number of credits, of a cent each; what fails costs nothing, and no answer tells its price.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import nullcontext
from typing import ClassVar
from urllib.parse import quote

from msgspec.structs import replace

from pictura.core.errors import BadRequest, Failed, Malformed, PicturaError, Refused, Unsupported
from pictura.core.model import Anything, Choice, Descriptor, Inputs, Mask, ModelCard, Prompt, Source, Span, Words
from pictura.core.money import usd
from pictura.core.price import PerPicture
from pictura.core.size import OwnSize, Shapes
from pictura.infra.http import Answer
from pictura.infra.payload import Payload, field, multipart_payload
from pictura.providers.answers import closed_on_error, document_of, question, said, task_id, word
from pictura.providers.base import (
    NOBODY,
    Ask,
    Channel,
    Done,
    Pending,
    Raw,
    TaskProvider,
    error_from,
    retry_after,
    unreadable,
)
from pictura.providers.masks import white_where_edited

_SPEC = Source("Stability AI's OpenAPI document, in tryAGI/StabilityAI", "2026-11-20", "official, at second hand")
_CREDITS = Source("the same, at a cent a credit", "2026-11-20", "official, at second hand")
_OLD_CREDITS = Source("litellm 1.109.1, resellers, and what Amazon takes for the same", "2026-11", "third party")

_SEED: dict[str, Descriptor] = {"seed": Span(0, 4_294_967_294)}
_NEGATIVE: dict[str, Descriptor] = {"negative_prompt": Words(10_000)}
_STYLE: dict[str, Descriptor] = {
    "style_preset": Choice(
        (
            *("3d-model", "analog-film", "anime", "cinematic", "comic-book", "digital-art", "enhance", "fantasy-art"),
            *("isometric", "line-art", "low-poly", "modeling-compound", "neon-punk", "origami", "photographic"),
            *("pixel-art", "tile-texture"),
        )
    )
}
_COMMON = {**_SEED, **_NEGATIVE, **_STYLE}
#: The vendor wants one with every picture and has no default; this is what ComfyUI sends (third party).
STRENGTH = 0.5
_STRENGTH: dict[str, Descriptor] = {"strength": Span(0, 1, whole=False, default=STRENGTH)}

_ULTRA = ModelCard(
    id="stable-image-ultra",
    native="generate/ultra",
    aliases=("stability/stable-image-ultra",),
    released=_SPEC.date,
    modes=("generate", "edit"),
    prompt=Prompt(max_chars=10_000),
    sizes=Shapes(aspects=("16:9", "1:1", "21:9", "2:3", "3:2", "4:5", "5:4", "9:16", "9:21")),
    # A whole request may have 10 MiB.
    inputs=Inputs(count=1, formats=("jpeg", "png", "webp"), max_bytes=10_000_000, min_edge=64, max_edge=16_384),
    outputs=("png", "jpeg", "webp"),
    params={**_COMMON, **_STRENGTH},
    price=PerPicture(usd("0.08")),
    price_source=_CREDITS,
    source=_SPEC,
)
_LARGE = replace(
    _ULTRA,
    id="sd3.5-large",
    native="",
    aliases=("stability/sd3.5-large",),
    released="2024-10-22",
    released_known=True,
    inputs=replace(_ULTRA.inputs, max_edge=0),
    params={**_COMMON, **_STRENGTH, "guidance_scale": Span(1, 10, whole=False)},
    price=PerPicture(usd("0.065")),
    notes="With an input it takes no aspect. The wire calls guidance_scale cfg_scale.",
)
_EDIT = replace(
    _ULTRA,
    modes=("edit",),
    sizes=OwnSize(),
    inputs=replace(_ULTRA.inputs, required=True, max_edge=0, max_pixels=9_437_184, max_ratio=2.5),
    params=_COMMON,
    price=PerPicture(usd("0.05")),
)
_INPAINT = replace(
    _EDIT,
    id="stable-image-inpaint",
    native="edit/inpaint",
    aliases=("stability/inpaint",),
    modes=("edit", "inpaint"),
    inputs=replace(_EDIT.inputs, max_ratio=0),
    mask=Mask(),
    params={**_COMMON, "grow_mask": Span(0, 100, default=5)},
    notes="Without a mask, the picture's own transparent part is painted. What comes has 4 megapixels.",
)
_SEARCH = replace(
    _EDIT,
    id="stable-image-search-and-replace",
    native="edit/search-and-replace",
    aliases=("stability/search-and-replace",),
    params={**_COMMON, "search_prompt": Words(10_000), "grow_mask": Span(0, 20, default=3)},
    required=(("search_prompt",),),
    notes="search_prompt says what to replace. What comes has 4 megapixels.",
)
_SKETCH = replace(
    _EDIT,
    id="stable-image-sketch",
    native="control/sketch",
    aliases=("stability/sketch",),
    params={**_COMMON, "control_strength": Span(0, 1, whole=False, default=0.7)},
)
_UPSCALE = replace(
    _EDIT,
    id="stable-image-upscale-fast",
    native="upscale/fast",
    aliases=("stability/fast",),
    prompt=Prompt("none"),
    inputs=replace(_EDIT.inputs, min_edge=32, max_edge=1_536, max_pixels=1_048_576, max_ratio=0),
    params={},
    price=PerPicture(usd("0.02")),
    notes="Four times as wide and high.",
)

_SD3 = "generate/sd3"
#: The fields of pictures, in order, where there is not just an `image`.
_PICTURES: Mapping[str, tuple[str, ...]] = {
    "control/style-transfer": ("init_image", "style_image"),
    "edit/replace-background-and-relight": ("subject_image", "background_reference"),
}
_PROMPTS: Mapping[str, str] = {"edit/replace-background-and-relight": "background_prompt"}
#: Options by our name, where the vendor has another.
_NAMES: Mapping[str, str] = {"guidance_scale": "cfg_scale"}
#: Flagged by the vendor before anything was drawn, and not charged.
_REFUSALS = frozenset({"content_moderation", "public_figure"})
#: More often the vendor does not want to be asked about a task.
POLL_S = 10.0
#: Whoever is too fast is locked out for so long.
_REST_S = 60


class Stability(TaskProvider):
    """Stability AI, https://platform.stability.ai/docs/api-reference. Answers at once; by task id for two services."""

    name = "stability"
    base_url = "https://api.stability.ai"
    env: ClassVar = {"api_key": "STABILITY_API_KEY"}
    sandbox_path = "/stability"
    MODELS = (
        _ULTRA,
        replace(
            _ULTRA,
            id="stable-image-core",
            native="generate/core",
            aliases=("stability/stable-image-core",),
            modes=("generate",),
            inputs=Inputs(),
            params=_COMMON,
            price=PerPicture(usd("0.03")),
        ),
        _LARGE,
        replace(
            _LARGE, id="sd3.5-large-turbo", aliases=("stability/sd3.5-large-turbo",), price=PerPicture(usd("0.04"))
        ),
        replace(_LARGE, id="sd3.5-medium", aliases=("stability/sd3.5-medium",), price=PerPicture(usd("0.035"))),
        replace(
            _LARGE,
            id="sd3.5-flash",
            aliases=("stability/sd3.5-flash",),
            released=_SPEC.date,
            released_known=False,
            price=PerPicture(usd("0.025")),
            notes=f"{_LARGE.notes} With an input it does best at a strength of 0.94 to 0.97.",
        ),
        _INPAINT,
        replace(
            _INPAINT,
            id="stable-image-erase",
            native="edit/erase",
            aliases=("stability/erase",),
            prompt=Prompt("none"),
            params={**_SEED, "grow_mask": Span(0, 20, default=5)},
        ),
        replace(
            _EDIT,
            id="stable-image-outpaint",
            native="edit/outpaint",
            aliases=("stability/outpaint",),
            prompt=Prompt("optional", max_chars=10_000),
            params={
                **_SEED,
                **_STYLE,
                **{side: Span(0, 2_000, default=0) for side in ("left", "right", "up", "down")},
                "creativity": Span(0, 1, whole=False, default=0.5),
            },
            required=(("left", "right", "up", "down"),),
            price=PerPicture(usd("0.04")),
            notes="The sides are in pixels.",
        ),
        _SEARCH,
        replace(
            _SEARCH,
            id="stable-image-search-and-recolor",
            native="edit/search-and-recolor",
            aliases=("stability/search-and-recolor",),
            params={**_COMMON, "select_prompt": Words(10_000), "grow_mask": Span(0, 20, default=3)},
            required=(("select_prompt",),),
            notes="select_prompt says what to recolour.",
        ),
        replace(
            _EDIT,
            id="stable-image-remove-background",
            native="edit/remove-background",
            aliases=("stability/remove-background",),
            prompt=Prompt("none"),
            inputs=replace(_EDIT.inputs, max_pixels=4_194_304, max_ratio=0),
            outputs=("png", "webp"),
            transparent=True,
            params={},
        ),
        replace(
            _EDIT,
            id="stable-image-relight",
            native="edit/replace-background-and-relight",
            aliases=("stability/replace-background-and-relight",),
            inputs=replace(_EDIT.inputs, count=2, max_ratio=0),
            params={
                **_SEED,
                **_NEGATIVE,
                "foreground_prompt": Words(10_000),
                "preserve_original_subject": Span(0, 1, whole=False, default=0.6),
                "original_background_depth": Span(0, 1, whole=False, default=0.5),
                "keep_original_background": Choice(("true", "false"), "false"),
                "light_source_direction": Choice(("left", "right", "above", "below")),
                "light_source_strength": Span(0, 1, whole=False, default=0.3),
            },
            price=PerPicture(usd("0.08")),
            notes=(
                "The prompt describes the background; a second input lends it its style. The first one may be at most "
                "2.5 times as long as wide."
            ),
        ),
        _SKETCH,
        replace(_SKETCH, id="stable-image-structure", native="control/structure", aliases=("stability/structure",)),
        replace(
            _EDIT,
            id="stable-image-style",
            native="control/style",
            aliases=("stability/style",),
            sizes=_ULTRA.sizes,
            params={**_COMMON, "fidelity": Span(0, 1, whole=False, default=0.5)},
        ),
        replace(
            _EDIT,
            id="stable-image-style-transfer",
            native="control/style-transfer",
            aliases=("stability/style-transfer",),
            prompt=Prompt("optional", max_chars=10_000),
            inputs=replace(_EDIT.inputs, count=2, least=2, max_edge=16_383, max_ratio=0),
            params={
                **_SEED,
                **_NEGATIVE,
                "style_strength": Span(0, 1, whole=False, default=1),
                "composition_fidelity": Span(0, 1, whole=False, default=0.9),
                "change_strength": Span(0.1, 1, whole=False, default=0.9),
            },
            price=PerPicture(usd("0.08")),
            notes="The first input is what to restyle, at most 2.5 times as long as wide; the second is the style.",
        ),
        _UPSCALE,
        replace(
            _UPSCALE,
            id="stable-image-upscale-conservative",
            native="upscale/conservative",
            aliases=("stability/conservative",),
            prompt=_EDIT.prompt,
            inputs=_EDIT.inputs,
            params={**_SEED, **_NEGATIVE, "creativity": Span(0.2, 0.5, whole=False, default=0.35)},
            price=PerPicture(usd("0.40")),
            price_source=_OLD_CREDITS,
            notes="What comes has 4 megapixels. Third parties name 25 credits before 2025, and 40 since.",
        ),
        replace(
            _UPSCALE,
            id="stable-image-upscale-creative",
            native="upscale/creative",
            aliases=("stability/creative",),
            prompt=_EDIT.prompt,
            inputs=replace(_EDIT.inputs, max_pixels=1_048_576, max_ratio=0),
            params={**_COMMON, "creativity": Span(0.1, 0.5, whole=False, default=0.3)},
            price=PerPicture(usd("0.60")),
            notes="",
        ),
    )

    def generic(self, model: str) -> ModelCard:
        """A service, or a model of generate/sd3, that is newer than this file."""
        return replace(_GENERIC, id=model)

    async def start(self, ask: Ask, via: Channel) -> Done | Pending:
        service = ask.native if "/" in ask.native else _SD3
        body = await _form(ask, service)
        answer = await via.send("POST", f"/v2beta/stable-image/{service}", headers=_headers(via), body=body)
        return self._outcome(answer, via)

    async def check(self, task: Pending, via: Channel) -> Done | Pending:
        path = f"/v2beta/results/{quote(task.upstream_id, safe='')}"
        answer = await via.send("GET", path, headers=_headers(via))
        if answer.status == 202 or (answer.status == 200 and answer.spool is None):
            answer.close()
            return task
        with question(answer) if answer.status != 200 else nullcontext():
            return self._outcome(answer, via, polled=True)

    def _outcome(self, answer: Answer, via: Channel, *, polled: bool = False) -> Done | Pending:
        with closed_on_error(answer):
            if answer.status not in (200, 202):
                raise self._error(answer, via, polled=polled)
            if answer.spool is None:
                return _task(answer)
            return Done(pictures=(self._picture(answer, answer.spool.size),))

    def _picture(self, answer: Answer, size: int) -> Raw:
        if answer.headers.get("finish-reason") == "CONTENT_FILTERED":
            # The vendor calls it a success with a blurred picture, and charges successes.
            message = "the picture was found to violate the provider's content policy"
            raise Refused(message, reason="CONTENT_FILTERED", by=self.name, billed=True)
        if not size:
            raise Malformed("the provider answered without a picture", upstream_status=answer.status)
        seed = answer.headers.get("seed", "")
        return Raw(spool=answer.spool, seed=int(seed) if re.fullmatch("[0-9]{1,19}", seed) else None)

    def _error(self, answer: Answer, via: Channel, *, polled: bool) -> PicturaError:
        document = document_of(answer)
        name, errors = document.get("name"), document.get("errors")
        if not isinstance(name, str):
            return unreadable(answer)
        texts = [text for text in errors if isinstance(text, str)] if isinstance(errors, list) else []
        message = said("; ".join(texts) or document.get("message"), via)
        if name in _REFUSALS:
            return Refused(message, reason=name, by=self.name)
        if name == "generation_not_found":
            return Failed(message, upstream_status=answer.status, upstream_code=name)
        if answer.status in (400, 413, 422):
            return BadRequest(message, param=_param(texts))
        if answer.status >= 500:
            # What fails is not charged; but a poll that fails says nothing about its task.
            return Failed(message, upstream_status=answer.status, upstream_code=name, unbilled=not polled)
        rest_s = _REST_S if answer.status == 429 else None
        return error_from(answer.status, message, name, retry_after(answer) or rest_s)


_GENERIC = replace(
    _ULTRA,
    id="",
    native="",
    aliases=(),
    released="",
    modes=("generate", "edit", "inpaint"),
    prompt=Prompt("optional", max_chars=10_000),
    inputs=Inputs(count=2, formats=_ULTRA.inputs.formats, max_bytes=_ULTRA.inputs.max_bytes),
    mask=Mask(),
    params=dict.fromkeys(
        (
            *("seed", "negative_prompt", "style_preset", "strength", "guidance_scale", "grow_mask", "creativity"),
            *("search_prompt", "select_prompt", "left", "right", "up", "down", "control_strength", "fidelity"),
        ),
        Anything(),
    ),
    price=None,
    price_source=None,
    source=NOBODY,
)


def _headers(via: Channel) -> Mapping[str, str]:
    return {**via.bearer, "Accept": "image/*"}


def _task(answer: Answer) -> Pending:
    id = task_id(document_of(answer).get("id"))
    if not id:
        raise Malformed("the provider answered with neither a picture nor a task", upstream_status=answer.status)
    return Pending(upstream_id=id, poll_after_s=POLL_S)


def _param(errors: list[str]) -> str | None:
    """The field that the first complaint is about: `some-field: is required` is the form the vendor documents."""
    field, colon, _ = errors[0].partition(":") if errors else ("", "", "")
    ours = {theirs: name for name, theirs in _NAMES.items()}
    return ours.get(field, field) if colon and word(field) and field.isidentifier() else None


# -- what is sent --


async def _form(ask: Ask, service: str) -> Payload:
    texts = [field(name, value) for name, value in _fields(ask, service)]
    names = _PICTURES.get(service, ("image",))
    files = [image.part(name) for name, image in zip(names, ask.images, strict=False)]
    if ask.mask:
        files.append((await white_where_edited(ask.mask)).part("mask"))
    return multipart_payload([*texts, *files])


def _fields(ask: Ask, service: str) -> Iterator[tuple[str, object]]:
    if ask.prompt:
        yield _PROMPTS.get(service, "prompt"), ask.prompt
    if service == _SD3:
        yield "model", ask.native
        yield "mode", "image-to-image" if ask.images else "text-to-image"
        if ask.images and ask.size.aspect:
            message = f"with a picture, {ask.card.id} draws in that picture's shape; leave size out"
            raise Unsupported(message, param="size", allowed=("auto",))
    if ask.size.aspect:
        yield "aspect_ratio", ask.size.aspect
    if ask.images and service.startswith("generate/") and "strength" not in ask.params:
        yield "strength", STRENGTH
    yield from ask.options(_NAMES).items()
    if ask.output_format:
        yield "output_format", ask.output_format
