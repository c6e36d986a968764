"""The canonical request: what every dialect decodes into, and what a job keeps.

Plain data throughout, so that it is stored as it is and read again after a crash. Picture bytes are not in it: an
input is named by a reference (`upload:0`, a URL) until the engine has stored it, and by its blob's key afterwards.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Literal

import msgspec

from pictura.core.picture import Bytes
from pictura.core.size import AUTO, Size

Delivery = Literal["url", "b64_json", "b64_ephemeral"]

#: Where a request may ask to be drawn (`input_region`): Tencent VOD's words, which OmniRouters took over.
REGIONS = ("Mainland", "Oversea", "OverseaUSWest")
#: The header in which the gateway tells the sandbox which of several equal calls this is; it is not sent with the first
#: one, so that this is drawn as it is for a client that asks the sandbox itself.
OCCASION_HEADER = "x-pictura-occasion"


class Upload(msgspec.Struct):
    """A picture that came inside a request's body. `flaw`: why its bytes cannot be trusted ("" when they can)."""

    name: str
    source: Bytes
    media_type: str = ""
    filename: str = ""
    flaw: str = ""


class Body(msgspec.Struct):
    """A request's body as the door hands it to a dialect: fields as JSON values or form texts, pictures apart.

    A form field that came several times is a list. `form` is true for multipart, whose values are all text.
    Where an inline picture stood inside `fields`, there stands the text `mark(i)`, i its place in `uploads`.
    """

    fields: dict[str, object]
    uploads: list[Upload] = []
    form: bool = False


class InputPicture(msgspec.Struct, frozen=True, omit_defaults=True):
    """One input. `ref` before it is stored: `upload:<index>` or an http(s) URL; `key` once it is."""

    ref: str = ""
    key: str = ""
    media_type: str = ""
    width: int = 0
    height: int = 0
    bytes: int = 0


class Turn(msgspec.Struct, frozen=True, omit_defaults=True):
    """What one side said in a conversation: texts, and pictures by their place among the request's `images`.

    `signatures`: what the vendor signed each of the parts with and wants back, "" where nothing; none at all: ().
    """

    role: Literal["user", "model"] = "user"
    parts: tuple[str | int, ...] = ()
    signatures: tuple[str, ...] = ()


class ImageRequest(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What was asked, in the house's words. None and "" mean: not said, the model's own default applies."""

    operation: Literal["generate", "edit"] = "generate"
    model: str
    prompt: str = ""
    images: tuple[InputPicture, ...] = ()
    mask: InputPicture | None = None
    #: The conversation, where prompt and images alone do not say it: several turns, or texts between pictures.
    turns: tuple[Turn, ...] = ()
    #: What holds for the whole conversation; the first lines of the prompt where the vendor has no place for it.
    system: str = ""
    n: int = 1
    size: Size = AUTO
    #: Which field said the `pixels`, the `aspect`, the `tier` of the size, where it was not `size`.
    size_fields: Mapping[str, str] = {}
    #: Typed options by canonical name: quality, style, background, seed, moderation, watermark, …
    params: Mapping[str, object] = {}
    #: Fields that no dialect knows; passed on where the card lists them, else refused or ignored.
    extra: Mapping[str, object] = {}
    output_format: str = ""
    #: The client named the format; it is not the dialect's default.
    format_named: bool = False
    output_compression: int | None = None
    delivery: Delivery = "url"
    #: The client named the delivery; it is not the dialect's default.
    delivery_named: bool = False
    stream: bool = False
    partial_images: int = 0
    user: str = ""
    #: Which field said it.
    user_field: str = ""
    #: Per field, the router's own words → the house's, for models that do not know the router's word themselves.
    words: Mapping[str, Mapping[str, str]] = {}
    #: What the dialect does with `extra` fields that the model does not take.
    unknown: Literal["refuse", "ignore"] = "ignore"
    #: Fields no dialect knows that this one passes over all the same, where it refuses others.
    harmless: frozenset[str] = frozenset()
    #: Picture formats that this dialect promises to take, whatever the model takes; they are converted.
    takes: tuple[str, ...] = ()
    #: Fields (`size`, `quality`, …) that this dialect's router adjusts to the nearest allowed value.
    adjustable: frozenset[str] = frozenset()
    #: Fields that this dialect adjusted or mapped itself while decoding: `image_size=3K→2K`.
    adjusted: tuple[str, ...] = ()
    #: Bounds that the dialect sets below the card's.
    max_prompt_chars: int = 0

    @property
    def whole_prompt(self) -> str:
        """The prompt for those who have no place of their own for `system`: that comes first."""
        return "\n".join(filter(None, (self.system, self.prompt)))


#: What a model may call `user`; the first that it knows is told it, and of what a client says the first counts.
END_USER = ("safety_identifier", "user")

_MARK = "pictura-cut:"
_MARKED = re.compile(_MARK + r"(0|[1-9][0-9]{0,8})")


def mark(index: int) -> str:
    """What stands in `Body.fields` for inline picture number `index`."""
    return f"{_MARK}{index}"


def marked(value: object) -> int | None:
    """The number of the inline picture that `value` stands for; None where it is something else."""
    named = _MARKED.fullmatch(value) if isinstance(value, str) else None
    return int(named[1]) if named else None
