"""MixRoute, https://mixroute.io: the bodies of four vendors on one path, edits included.

    POST /images/generations   JSON; by the model's family
        gemini-    {"model", "prompt" | "contents": [{"role", "parts": [{"text"} | {"image": data URL}]}], "n",
                    "size": <aspect>, "image_size": <tier>, "mime_type", "response_modalities": "image", …}
        doubao-    {"model", "prompt", "contents"?, "size", "watermark", "seed", …}
        gpt-image- {"model", "prompt", "image"?: data URL, "size", "quality", "input_fidelity", "n"}
        qwen-      {"model", "input": {"messages": [{"role", "content": [{"image"} | {"text"}]}]}, "parameters": {…}}
    → {"code": 200, "msg", "data": {"data": [{"url", "b64_json", "revised_prompt"}], "created"}}, or what stands in its
      `data` by itself

Wire facts: its page (2026-02, documented). It says nothing of errors: those of new-api are expected, and
{"code": ≠ 200, "msg", "data": null} (both inferred). That several pictures go as a list where the page shows one is
inferred too. There is no mask. Pictures by URL live for a day.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import ClassVar

from msgspec.structs import replace

from pictura.core.errors import PicturaError
from pictura.core.model import Anything, Choice, Descriptor, Flag, Inputs, ModelCard, Prompt, Source, Span, Words
from pictura.core.request import Turn
from pictura.core.size import FreePixels, ListedPixels, Shapes
from pictura.infra.payload import Payload, json_payload
from pictura.providers.answers import mapping
from pictura.providers.base import Ask, Channel
from pictura.providers.new_api import NewApiWire
from pictura.providers.openai import ImagesApi
from pictura.providers.sizes import in_words

_PAGE = Source("MixRoute's page of image generation", "2026-02-01", "documented")
_UNPRICED = "What it costs is told in MixRoute's console alone."

_GEMINI = ModelCard(
    id="mixroute-gemini-2.5-flash-image",
    native="mixroute/gemini-2.5-flash-image",
    released=_PAGE.date,
    modes=("generate", "edit"),
    sizes=Shapes(aspects=("1:1", "3:2", "2:3", "3:4", "4:3", "4:5", "5:4", "9:16", "16:9", "21:9")),
    inputs=Inputs(count=3, max_bytes=7_000_000),
    outputs=("png", "jpeg"),
    params={"temperature": Span(0, 2, whole=False), "top_p": Span(0, 1, whole=False)},
    source=_PAGE,
    notes=f"The page shows a tier for it too, which Google's model does not have. {_UNPRICED}",
)
_INPUTS = Inputs(count=10, max_bytes=10_000_000)
_SEEDREAM: dict[str, Descriptor] = {
    "seed": Span(-1, 2**31 - 1),
    "watermark": Flag(),
    "optimize_prompt_options": Anything(),
    "sequential_image_generation": Choice(("disabled", "auto"), "disabled"),
    "sequential_image_generation_options": Anything(),
}


class MixRoute(NewApiWire, ImagesApi):
    """MixRoute. Answers at once."""

    name = "mixroute"
    base_url = "https://console.mixroute.io/v1"
    env: ClassVar = {"api_key": "MIXROUTE_API_KEY"}
    sandbox_path = "/mixroute/v1"
    marker = "mixroute/"
    masks = False
    SERVES: ClassVar = {
        "gemini-2.5-flash-image": "mixroute-gemini-2.5-flash-image",
        "gemini-3-pro-image": "gemini-3-pro-image-preview",
        "seedream-3.0": "doubao-seedream-3-0-t2i-250415",
        "seedream-4.0": "doubao-seedream-4-0-250828",
        "seedream-4.5": "mixroute-seedream-4.5",
        "seededit-3.0": "doubao-seededit-3-0-i2i-250628",
        "gpt-image-1-mini": "mixroute-gpt-image-1-mini",
        "qwen-image-plus": "mixroute-qwen-image-plus",
        "qwen-image-edit-plus": "qwen-image-edit-plus",
    }
    MODELS = (
        _GEMINI,
        replace(
            _GEMINI,
            id="mixroute-seedream-4.5",
            native="mixroute/doubao-seedream-4-5-251128",
            sizes=FreePixels(
                min_pixels=3_686_400,
                max_pixels=16_777_216,
                presets=("2048x2048", "2304x1728", "1728x2304"),
                default="2048x2048",
            ),
            group_most=4,
            inputs=_INPUTS,
            outputs=("jpeg",),
            params=_SEEDREAM,
            notes=_UNPRICED,
        ),
        replace(
            _GEMINI,
            id="mixroute-gpt-image-1-mini",
            native="mixroute/gpt-image-1-mini",
            sizes=ListedPixels(values=("1024x1024", "1024x1536", "1536x1024"), auto=True),
            max_n=10,
            inputs=_INPUTS,
            outputs=("png",),
            params={"quality": Choice(("low", "medium", "high"))},
            notes=_UNPRICED,
        ),
        replace(
            _GEMINI,
            id="mixroute-qwen-image-plus",
            native="mixroute/qwen-image-plus",
            modes=("generate",),
            prompt=Prompt(max_chars=800),
            sizes=ListedPixels(
                values=("1664x928", "1472x1140", "1328x1328", "1140x1472", "928x1664"), auto=True, default="1664x928"
            ),
            inputs=Inputs(),
            outputs=("png",),
            params={
                "negative_prompt": Words(500),
                "prompt_extend": Flag(),
                "seed": Span(0, 2**31 - 1),
                "watermark": Flag(),
            },
            notes=f"Sizes are Alibaba's. {_UNPRICED}",
        ),
    )

    def refunds(self, document: Mapping[str, object]) -> bool:
        """Others of its family do; that this one does is written nowhere."""
        return False

    def place(self, ask: Ask, via: Channel) -> str:
        return "/images/generations"

    def body(self, ask: Ask, fields: Mapping[str, object]) -> Payload:
        name = self.model(ask).lower()
        write = next((write for start, write in _FAMILIES.items() if name.startswith(start)), _flat)
        return json_payload(write(ask, fields))

    def opened(self, document: Mapping[str, object]) -> Mapping[str, object]:
        if "code" not in document:
            return document
        inside, code = mapping(document.get("data")), document["code"]
        # A success without a picture is no failure: it may have been billed.
        error = {} if code == _WELL else {"error": {"message": document.get("msg"), "code": code}}
        return inside or {**error, **document}

    def verdict(
        self, document: Mapping[str, object], status: int, via: Channel, retry_after_s: int | None = None
    ) -> PicturaError:
        """With status 200 the true one stands in the code."""
        code = mapping(document.get("error")).get("code")
        true = code if status < 300 and isinstance(code, int) and 400 <= code < 600 else status
        return super().verdict(document, true, via, retry_after_s)


_WELL = 200


def _flat(ask: Ask, fields: Mapping[str, object]) -> Mapping[str, object]:
    """OpenAI's fields, with the pictures among them."""
    shown = [image.data_url for image in ask.images]
    return {**fields, "image": shown if len(shown) > 1 else shown[0]} if shown else fields


def _gemini(ask: Ask, fields: Mapping[str, object]) -> Mapping[str, object]:
    kept = _without(fields, "size", "aspect_ratio", "resolution", "output_format", "output_compression", "prompt")
    wanted = in_words(ask.size) if ask.size.width else ask.size
    size = {name: word for name, word in (("size", wanted.aspect), ("image_size", wanted.tier.upper())) if word}
    kind = {"mime_type": f"image/{ask.output_format}"} if "output_format" in fields else {}
    return {**kept, **size, **kind, **_spoken(ask), "response_modalities": "image", "response_format": "b64_json"}


def _seedream(ask: Ask, fields: Mapping[str, object]) -> Mapping[str, object]:
    """It is stamped "AI generated" unless told not to; there is no n. A tier stands in the place of the pixels."""
    size = {"size": ask.size.tier.upper()} if ask.size.tier else {}
    return {"watermark": False, **_without(fields, "n", "aspect_ratio", "resolution", "prompt"), **size, **_spoken(ask)}


def _qwen(ask: Ask, fields: Mapping[str, object]) -> Mapping[str, object]:
    content = [*({"image": image.data_url} for image in ask.images), {"text": ask.prompt}]
    unknown = ("aspect_ratio", "resolution", "output_format", "output_compression")
    parameters = _without(fields, "model", "prompt", "size", *unknown)
    if ask.size.width:
        parameters["size"] = f"{ask.size.width}*{ask.size.height}"
    return {
        "model": fields["model"],
        "input": {"messages": [{"role": "user", "content": content}]},
        "parameters": parameters,
    }


#: How a body is written, by the beginning of the model's name.
_FAMILIES: Mapping[str, Callable[[Ask, Mapping[str, object]], Mapping[str, object]]] = {
    "gemini-": _gemini,
    "doubao-seed": _seedream,
    "seedream-": _seedream,
    "qwen-": _qwen,
    "wan": _qwen,
}


def _spoken(ask: Ask) -> Mapping[str, object]:
    """The prompt alone, or the conversation; what no turn of it shows goes into the last one."""
    if not ask.images and not ask.turns:
        return {"prompt": ask.prompt}
    turns = ask.turns or (Turn("user", (ask.prompt,) if ask.prompt else ()),)
    shown = {part for turn in turns for part in turn.parts}
    rest = tuple(index for index in range(len(ask.images)) if index not in shown)
    whole = (*turns[:-1], replace(turns[-1], parts=turns[-1].parts + rest))
    return {"contents": [{"role": turn.role, "parts": [_part(part, ask) for part in turn.parts]} for turn in whole]}


def _part(part: str | int, ask: Ask) -> Mapping[str, object]:
    return {"text": part} if isinstance(part, str) else {"image": ask.images[part].data_url}


def _without(fields: Mapping[str, object], *names: str) -> dict[str, object]:
    return {name: value for name, value in fields.items() if name not in names}
