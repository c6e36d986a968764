"""A model's card: everything the house knows about a model, as data, with its source.

Cards stand beside the provider that speaks them; the operator's own override them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import msgspec

from pictura.core.money import Currency
from pictura.core.price import Price
from pictura.core.size import OwnSize, Sizes, Window

Mode = Literal["generate", "edit", "inpaint"]


class Choice(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="enum", omit_defaults=True):
    """One of these words."""

    values: tuple[str, ...]
    default: str = ""


class Span(
    msgspec.Struct,
    frozen=True,
    forbid_unknown_fields=True,
    tag="range",
    omit_defaults=True,
    rename={"low": "min", "high": "max"},
):
    """A number from `low` to `high`, both included; an integer unless `whole` is false."""

    low: int | float
    high: int | float
    whole: bool = True
    default: int | float | None = None


class Flag(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="boolean", omit_defaults=True):
    """true or false."""

    default: bool | None = None


class Words(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="text"):
    """Text of at most `max_chars` characters."""

    max_chars: int = 32_000


class Anything(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="any"):
    """A value of the vendor's own shape, passed on as it is."""


#: How an option is described, on a card and to clients; as JSON `{"type": "range", "min": 0, "max": 100}`.
Descriptor = Choice | Span | Flag | Words | Anything


class Prompt(msgspec.Struct, frozen=True, omit_defaults=True):
    """How a model takes its prompt: `need` and at most `max_chars` Unicode characters."""

    need: Literal["required", "optional", "none"] = "required"
    max_chars: int = 32_000


class Inputs(Window, frozen=True, omit_defaults=True):
    """Pictures a model takes: how many, of which formats, bytes and pixels each. `count` 0: none.

    Where they are `required`, `least` says how many. A bound is set where the vendor publishes one that it keeps to;
    what it only recommends stands in a card's `notes`.
    """

    count: int = 0
    formats: tuple[str, ...] = ("png", "jpeg", "webp")
    max_bytes: int = 25_000_000
    required: bool = False
    least: int = 1


class Mask(msgspec.Struct, frozen=True, omit_defaults=True):
    """A mask whose transparent part is edited, of the size of the first picture."""

    formats: tuple[str, ...] = ("png",)
    max_bytes: int = 4_000_000


class Source(msgspec.Struct, frozen=True, omit_defaults=True):
    """Where a card's facts come from, when, and how far they can be trusted."""

    name: str
    date: str
    confidence: str = ""


class ModelCard(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One model. Field by field:

    `id` the public id; `native` what the vendor calls it ("" = the id); `aliases` other names that resolve to it.
    `status`: live, deprecated (`ends` says when it dies) or retired (`successor` says what to use instead).
    `released`: its date; `released_known` false where it is the date of the source instead.
    `max_n`: pictures per call of the vendor; `fan_out`: may more be had by several calls.
    `group_most`: pictures of one call with `sequential_image_generation` "auto", inputs counted; 0: knows no groups.
    `outputs`: formats the vendor can be asked for, its default first; other formats are transcoded by the house.
    `params`: typed descriptors by the canonical field's name; vendor options are listed like any other.
    `required`: of each of these groups of options (or `mask`) one must be said.
    `previews`: partial pictures while it draws.
    `currency`: what the price is published in, where that is not dollars; `price` itself always is.
    `agreed`: the operator named the price, so that it counts more than what the vendor tells of a call.
    `imitated`: what the sandbox's simulator calls it, where the operator changed `native`; None: it knows no such
    model, and the plain simulator draws it.
    """

    id: str
    native: str = ""
    aliases: tuple[str, ...] = ()
    status: Literal["live", "deprecated", "retired"] = "live"
    ends: str = ""
    successor: str = ""
    released: str = ""
    released_known: bool = False
    modes: tuple[Mode, ...] = ("generate",)
    prompt: Prompt = Prompt()
    sizes: Sizes = OwnSize()
    max_n: int = 1
    fan_out: bool = True
    group_most: int = 0
    inputs: Inputs = Inputs()
    mask: Mask | None = None
    outputs: tuple[str, ...] = ("png",)
    transparent: bool = False
    previews: bool = False
    params: Mapping[str, Descriptor] = {}
    required: tuple[tuple[str, ...], ...] = ()
    price: Price | None = None
    price_source: Source | None = None
    currency: Currency | None = None
    agreed: bool = False
    source: Source
    notes: str = ""
    imitated: str | None = ""

    @property
    def names(self) -> tuple[str, ...]:
        """All names by which a client may call it."""
        return tuple(dict.fromkeys((self.id, self.native or self.id, *self.aliases)))
