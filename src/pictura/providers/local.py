"""Engines on one's own machine: what their cards, their addresses and their errors have in common.

Whoever runs one bills nobody: what failed there, or got lost on the way, may be drawn by another channel. None of them
wants a key unless somebody put one before it: `secrets` of the channel may hold `api_key` (a bearer token), or
`username` and `password` (basic authentication).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Literal

from msgspec.structs import replace
from pybase64 import b64encode

from pictura.core.errors import Failed, Lost, Malformed, PicturaError, Rejected, Unsupported
from pictura.core.model import Descriptor, Inputs, Mask, ModelCard, Prompt, Source, Span, Words
from pictura.core.price import Free
from pictura.core.size import FreePixels, Size
from pictura.infra.http import Answer, Request
from pictura.infra.payload import Payload, field, json_payload, multipart_payload
from pictura.providers.answers import close_unused, closed_on_error, document_of, items, mapping, picture, said
from pictura.providers.base import Ask, Channel, Done, Provider, error_from, retry_after
from pictura.providers.masks import white_where_edited

#: An edit whose size nobody chose is no larger than this: what checkpoints are trained for, and most cards can hold.
EDIT_PIXELS = 1024**2


def card(
    id: str,
    source: Source,
    notes: str,
    *,
    step: int,
    pictures: int,
    default_size: str = "auto",
    masks: bool = True,
    prompt: Literal["required", "optional"] = "required",
    outputs: tuple[str, ...] = ("png",),
    options: Mapping[str, Descriptor],
) -> ModelCard:
    """A card of open weights, whose limits are mostly the machine's own. `step`: what both sides are multiples of."""
    return ModelCard(
        id=id,
        released=source.date,
        modes=("generate", "edit", "inpaint") if masks else ("generate", "edit"),
        prompt=Prompt(prompt),
        sizes=FreePixels(step=step, default=default_size),
        max_n=10,
        inputs=Inputs(count=pictures),
        mask=Mask(max_bytes=25_000_000) if masks else None,
        outputs=outputs,
        params={"seed": Span(0, 2**63 - 1), "negative_prompt": Words(), **options},
        price=Free(),
        price_source=source,
        source=source,
        notes=notes,
    )


class Engine(Provider):
    """Base of all of them: the first card stands for whatever is loaded, and a channel names the rest."""

    def generic(self, model: str) -> ModelCard:
        """Any model, by the name that the engine's owner gave it."""
        return replace(self.MODELS[0], id=model)

    def named(self, ask: Ask) -> str:
        """The model that was asked for; "" for whatever is loaded."""
        return "" if ask.native == self.MODELS[0].id else ask.native


def chosen(ask: Ask, words: Mapping[str, str]) -> dict[str, object]:
    """The options that were chosen; `words`: what the wire calls them where it does not call them as we do.

    Raises Unsupported for one that would be passed over without a word.
    """
    if "strength" in ask.options() and not ask.images:
        raise Unsupported("strength is for edits; send a picture, or leave it out", param="strength")
    return ask.options(words)


def edit_size(ask: Ask, step: int) -> Size:
    """The size asked for; else the first picture's, at most `EDIT_PIXELS`, its sides multiples of `step`."""
    if ask.size.width:
        return ask.size
    first = ask.images[0]
    scale = min(1.0, math.sqrt(EDIT_PIXELS / (first.width * first.height)))
    width, height = (max(1, round(side * scale / step)) * step for side in (first.width, first.height))
    return Size(width=width, height=height)


# -- calls --


def authorization(via: Channel) -> dict[str, str]:
    """The header that opens a server that is locked."""
    if user := via.secrets.get("username"):
        pair = f"{user}:{via.secrets.get('password', '')}"
        return {"Authorization": f"Basic {b64encode(pair.encode()).decode()}"}
    return via.bearer


async def send(request: Request, via: Channel) -> Answer:
    """One exchange; an engine that went away in the middle of it has failed, and billed nobody."""
    try:
        return await via.http.send(request)
    except Lost as error:
        message = f"{via.name} took the request, and broke off before it had answered"
        raise Failed(message, upstream_status=error.upstream_status, unbilled=True) from error


def error_of(answer: Answer, via: Channel) -> PicturaError:
    """The error of the tree for what an engine, or a proxy before it, says instead of a picture."""
    message = said(_words(answer), via)
    if answer.status >= 500:
        return Failed(message, upstream_status=answer.status, unbilled=True)
    if answer.status == 405:  # a web page answers where the API was not switched on
        return Rejected(message, upstream_status=answer.status, config=True)
    return error_from(answer.status, message, retry_after_s=retry_after(answer))


def _words(answer: Answer) -> str:
    """The reason in FastAPI's words (`detail`, a text or a list of what is wrong), in OpenAI's, or in none of them."""
    document = document_of(answer)
    error = mapping(document.get("error"))
    wrong = [f"{_place(entry.get('loc'))}: {entry.get('msg')}" for entry in items(document.get("detail"))]
    told = (error.get("message"), document.get("detail"), document.get("errors"), document.get("error"))
    words = "; ".join(wrong) or next((text for text in told if isinstance(text, str) and text), "")
    return words or f"the server answered {answer.status}"


def _place(loc: object) -> str:
    """Where in the body: `["body", "n"]` is n."""
    return ".".join(str(step) for step in loc[1:]) if isinstance(loc, list) else ""


# -- servers that took over OpenAI's two paths --


class ImagesServer(Engine):
    """Base of servers that take pictures at OpenAI's paths, with options of their own, and give base64."""

    async def start(self, ask: Ask, via: Channel) -> Done:
        path = "/images/edits" if ask.images else "/images/generations"
        body = await self._form(ask) if ask.images else json_payload(self._fields(ask))
        keys = frozenset({"b64_json"})
        request = via.request("POST", path, headers=authorization(via), body=body, picture_keys=keys)
        answer = await send(request, via)
        with closed_on_error(answer):
            return _done(answer, via)

    def _fields(self, ask: Ask) -> dict[str, object]:
        fields = {"prompt": ask.prompt, "n": ask.n, "response_format": "b64_json"}
        fields |= chosen(ask, {"steps": "num_inference_steps"})
        if model := self.named(ask):
            fields["model"] = model
        if ask.size.width:
            fields["size"] = str(ask.size)
        if ask.output_format:
            fields["output_format"] = ask.output_format
            if ask.output_compression is not None and ask.output_format in ("jpeg", "webp"):
                fields["output_compression"] = ask.output_compression
        return fields

    async def _form(self, ask: Ask) -> Payload:
        if "flow_shift" in ask.params:  # no form knows it
            raise Unsupported("flow_shift is not for edits; leave it out", param="flow_shift")
        # The brackets mean a list, as OpenAI's SDK has it.
        name = "image" if len(ask.images) == 1 else "image[]"
        parts = [field(option, value) for option, value in self._fields(ask).items()]
        parts += [image.part(name) for image in ask.images]
        if ask.mask:
            parts.append((await white_where_edited(ask.mask)).part("mask_image"))
        return multipart_payload(parts)


def _done(answer: Answer, via: Channel) -> Done:
    if answer.status != 200:
        raise error_of(answer, via)
    document = mapping(answer.json())
    found = [raw for item in items(document.get("data")) if (raw := picture((item.get("b64_json"),), answer.pictures))]
    close_unused(answer.pictures, found)
    if not found:
        raise Malformed(f"{via.name} answered without a picture", upstream_status=answer.status, unbilled=True)
    size = document.get("size")
    return Done(pictures=tuple(found), echo={"size": size} if isinstance(size, str) else {})
