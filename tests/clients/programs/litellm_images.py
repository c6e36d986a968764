"""LiteLLM's image client."""

from __future__ import annotations

import asyncio
import base64
import io
from collections.abc import Sequence

import litellm  # type: ignore[import-not-found]

litellm.telemetry = False
litellm.suppress_debug_info = True

loop = asyncio.Runner()


def generate(**asked: object) -> object:
    return told(litellm.image_generation(**asked))


def generate_async(**asked: object) -> object:
    return told(loop.run(litellm.aimage_generation(**asked)))


def edit(images: Sequence[str], **asked: object) -> object:
    return told(litellm.image_edit(image=files(images), **masked(asked)))


def edit_async(images: Sequence[str], **asked: object) -> object:
    return told(loop.run(litellm.aimage_edit(image=files(images), **masked(asked))))


def route(params: dict[str, object], **asked: object) -> object:
    """By its router, which knows the model under a name of its own."""
    router = litellm.Router(model_list=[{"model_name": "painter", "litellm_params": params}])
    return told(router.image_generation(model="painter", **asked))


def vary(images: Sequence[str], **asked: object) -> object:
    return told(litellm.image_variation(image=files(images)[0], **asked))


def files(images: Sequence[str]) -> list[io.BytesIO]:
    return [io.BytesIO(base64.b64decode(image)) for image in images]


def masked(asked: dict[str, object]) -> dict[str, object]:
    mask = asked.get("mask")
    return {**asked, "mask": files([mask])[0]} if isinstance(mask, str) else asked


def told(answer: litellm.ImageResponse) -> object:
    return {**answer.model_dump(exclude_none=True), "headers": dict(answer._hidden_params["headers"])}
