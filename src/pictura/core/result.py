"""What comes of a request: pictures as delivered, what they cost, and what was not as asked."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from pictura.core.price import Usage


class Delivered(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One picture. `key` names its blob; `url` is set instead where the upstream's own URL is handed on."""

    key: str = ""
    url: str = ""
    media_type: str = ""
    width: int = 0
    height: int = 0
    bytes: int = 0
    revised_prompt: str = ""
    seed: int | None = None


class Piece(msgspec.Struct, frozen=True, omit_defaults=True):
    """One part of an answer: a text, or a picture by its place among the pictures.

    `signature`: the vendor's own, which it wants back when the conversation goes on.
    """

    text: str = ""
    picture: int | None = None
    signature: str = ""


class ImageResult(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The outcome of a job that succeeded.

    `created_ms` Unix milliseconds; `latency_ms` from submit to delivery; `cost` settled micro-USD, None: unknown.
    `adjusted`: `image_size=3K→2K`; `ignored`: names of fields nobody took; `short`: why fewer pictures came than asked.
    `pieces`: texts and pictures in the vendor's order, where that says anything; `thought_tokens`: as many of the
    `usage`'s text_out; `extras`: what else the vendor told, by its own names.
    `echo`: what was really used (size, quality, background, output_format), for dialects that repeat it.
    """

    created_ms: int
    pictures: tuple[Delivered, ...]
    latency_ms: int = 0
    cost: int | None = 0
    usage: Usage | None = None
    texts: tuple[str, ...] = ()
    pieces: tuple[Piece, ...] = ()
    thought_tokens: int = 0
    extras: Mapping[str, object] = {}
    echo: Mapping[str, str] = {}
    adjusted: tuple[str, ...] = ()
    ignored: tuple[str, ...] = ()
    short: str = ""
