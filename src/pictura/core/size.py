"""Sizes: what a client asks for, what a model takes, and the one rule that fits the first into the second.

A client asks in pixels (`1024x768`), by aspect (`16:9`), by tier (`2K`), by aspect and tier, or leaves it to the
model (`auto`). A model takes free pixels inside a window, a list of pixel sizes, aspects with tiers, or nothing at
all. `fit` finds the exact translation or says why there is none; `nearest` is for dialects whose router adjusts.
"""

from __future__ import annotations

import math
import re
from fractions import Fraction
from typing import TypeVar

import msgspec
from msgspec.structs import replace

from pictura.core.errors import BadRequest, Unsupported

_PIXELS = re.compile(r"([0-9]{1,6})\s*[xX×*]\s*([0-9]{1,6})")
_ASPECT = re.compile(r"([0-9]{1,5})\s*:\s*([0-9]{1,5})")
_TIER = re.compile(r"(512|0\.5K|[1-8]K|720P|1080P)", re.IGNORECASE)

#: Edge in pixels of the square whose area a tier names. The P tiers name the short edge of a 16:9 picture.
TIER_EDGE = {
    "512": 512,
    "0.5K": 512,
    "720P": 960,
    "1K": 1024,
    "1080P": 1440,
    "2K": 2048,
    "3K": 3072,
    "4K": 4096,
    "5K": 5120,
    "6K": 6144,
    "7K": 7168,
    "8K": 8192,
}


#: How far (as the logarithm of a ratio) pixels may be from an aspect that vendors call them by.
_SAME_SHAPE = 0.02


class Size(msgspec.Struct, frozen=True, omit_defaults=True):
    """What was asked: pixels, or aspect and/or tier, or nothing (auto). Zero and "" mean: not said."""

    width: int = 0
    height: int = 0
    aspect: str = ""
    tier: str = ""

    @property
    def auto(self) -> bool:
        return not (self.width or self.aspect or self.tier)

    @property
    def pixels(self) -> int:
        return self.width * self.height

    def __str__(self) -> str:
        if self.width:
            return f"{self.width}x{self.height}"
        return " ".join(filter(None, (self.aspect, self.tier))) or "auto"


AUTO = Size()


class Window(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Bounds of a picture, 0 where there is none.

    `…_pixels`: width times height; `min_edge`: the shorter side; `max_edge`: the longer one; `max_ratio`: the longer
    side in terms of the shorter.
    """

    min_pixels: int = 0
    max_pixels: int = 0
    min_edge: int = 0
    max_edge: int = 0
    max_ratio: float = 0


Windowed = TypeVar("Windowed", bound=Window)


class FreePixels(Window, frozen=True, kw_only=True, tag="free", omit_defaults=True):
    """Any width and height inside a window. `tiers` are words the vendor itself takes instead of pixels."""

    step: int = 1
    presets: tuple[str, ...] = ()
    tiers: tuple[str, ...] = ()
    auto: bool = True
    default: str = "auto"


class ListedPixels(msgspec.Struct, frozen=True, kw_only=True, tag="listed", omit_defaults=True):
    """These pixel sizes and no other."""

    values: tuple[str, ...]
    auto: bool = False
    default: str = ""


class Shapes(msgspec.Struct, frozen=True, kw_only=True, tag="shapes", omit_defaults=True):
    """Aspects and tiers; the vendor chooses the pixels. Either list may be empty: then it cannot be chosen."""

    aspects: tuple[str, ...] = ()
    tiers: tuple[str, ...] = ()
    default_aspect: str = "1:1"
    default_tier: str = ""
    auto: bool = True


class OwnSize(msgspec.Struct, frozen=True, kw_only=True, tag="own", omit_defaults=True):
    """The size cannot be chosen: it follows the input, or the model has one size (`pixels`, where known)."""

    pixels: str = ""


Sizes = FreePixels | ListedPixels | Shapes | OwnSize


class NotInside(Unsupported):
    """A size that a model of free pixels does not take: `sizes` is the rule, `allowed` no more than what it names."""

    def __init__(self, message: str, sizes: FreePixels) -> None:
        super().__init__(message, param="size", allowed=allowed(sizes))
        self.sizes = sizes


def parse(text: str, param: str = "size") -> Size:
    """A Size from any of the spellings clients use: `auto`, `1024x768` (also `×`, `*`), `16:9`, `2K`."""
    text = text.strip()
    if text.lower() in ("", "auto", "adaptive"):
        return AUTO
    if found := _PIXELS.fullmatch(text):
        width, height = int(found[1]), int(found[2])
        if width and height:
            return Size(width=width, height=height)
    elif found := _ASPECT.fullmatch(text):
        if int(found[1]) and int(found[2]):
            return Size(aspect=f"{int(found[1])}:{int(found[2])}")
    elif found := _TIER.fullmatch(text):
        return Size(tier=found[1].upper())
    raise BadRequest(
        f"{param} {text[:40]!r} is not a size; write 1024x1024 (pixels), 16:9 (aspect), 2K (tier) or auto",
        param=param,
        allowed=("1024x1024", "16:9", "2K", "auto"),
    )


def combine(pixels: Size, aspect: Size, tier: Size) -> Size:
    """One Size from the separate fields in which dialects carry it; pixels win over words."""
    if pixels.width:
        return pixels
    return Size(aspect=aspect.aspect or pixels.aspect or tier.aspect, tier=tier.tier or pixels.tier or aspect.tier)


def fit(asked: Size, sizes: Sizes) -> Size:
    """What to ask the vendor for: pixels for pixel models, aspect and tier for the others, AUTO where it decides.

    Raises Unsupported, naming what is allowed, where `asked` has no exact translation.
    """
    found = _translate(asked, sizes)
    if found is None and isinstance(sizes, FreePixels):
        raise NotInside(_complaint(asked, sizes), sizes)
    if found is None:
        raise Unsupported(_complaint(asked, sizes), param="size", allowed=allowed(sizes))
    return found


def nearest(asked: Size, sizes: Sizes) -> Size:
    """Like `fit`, but the closest allowed value where there is no exact one: by aspect first, then by area."""
    found = _translate(asked, sizes)
    if found is not None:
        return found
    if isinstance(sizes, Shapes):
        return _nearest_shape(asked, sizes)
    if isinstance(sizes, FreePixels):
        return _nearest_free(asked, sizes)
    if isinstance(sizes, ListedPixels):
        return _nearest_listed(asked, sizes.values)
    return AUTO


def distance(asked: Size, given: Size) -> tuple[float, float]:
    """How far two sizes are apart: first in aspect, then in area, both as the logarithm of a ratio."""
    return (
        abs(math.log(float(ratio(asked) or 1) / float(ratio(given) or 1))),
        abs(math.log((area(asked) or 1024**2) / (area(given) or 1024**2))),
    )


def allowed(sizes: Sizes) -> tuple[str, ...]:
    """What a client may write, for error messages and model lists."""
    auto = ("auto",) if getattr(sizes, "auto", True) else ()
    if isinstance(sizes, FreePixels):
        return (*auto, *sizes.presets, *sizes.tiers)
    if isinstance(sizes, ListedPixels):
        return (*auto, *sizes.values)
    if isinstance(sizes, Shapes):
        return (*auto, *sizes.aspects, *sizes.tiers)
    return ("auto",)


def outside(width: int, height: int, window: Window) -> str:
    """Which bound of the window is broken, in words; "" when inside."""
    longest, shortest = max(width, height), min(width, height)
    if window.max_edge and longest > window.max_edge:
        return f"no side may exceed {window.max_edge} pixels"
    if shortest < window.min_edge:
        return f"no side may be shorter than {window.min_edge} pixels"
    if window.max_pixels and width * height > window.max_pixels:
        return f"width x height may not exceed {window.max_pixels:,} pixels"
    if width * height < window.min_pixels:
        return f"width x height must be at least {window.min_pixels:,} pixels"
    if window.max_ratio and longest > shortest * window.max_ratio:
        return f"the longer side may be at most {window.max_ratio:g} times the shorter"
    return ""


def bounds(window: Window) -> tuple[str, ...]:
    """All that the window asks of a picture, in words."""
    told = []
    if window.min_edge or window.max_edge:
        told.append(f"sides of {_span(window.min_edge, window.max_edge)} pixels")
    if window.min_pixels or window.max_pixels:
        told.append(f"{_span(window.min_pixels, window.max_pixels)} pixels in all")
    if window.max_ratio:
        widest = f"{window.max_ratio:g}"
        told.append("squares only" if widest == "1" else f"aspects from 1:{widest} to {widest}:1")
    return tuple(told)


def bounded(kind: Windowed, window: Window) -> Windowed:
    """The same, inside this window."""
    return replace(kind, **{name: getattr(window, name) for name in Window.__struct_fields__})


def _span(least: int, most: int) -> str:
    if not most:
        return f"at least {least:,}"
    return f"{least:,} to {most:,}" if least else f"at most {most:,}"


def ratio(size: Size) -> Fraction | None:
    if size.width:
        return Fraction(size.width, size.height)
    if size.aspect:
        wide, high = size.aspect.split(":")
        return Fraction(int(wide), int(high))
    return None


def area(size: Size) -> int:
    """Pixels of the whole picture; 0 where nothing was said about it."""
    return size.pixels or TIER_EDGE.get(size.tier, 0) ** 2


def _translate(asked: Size, sizes: Sizes) -> Size | None:
    if isinstance(sizes, FreePixels):
        return _free(asked, sizes)
    if isinstance(sizes, ListedPixels):
        return _listed(asked, sizes)
    if isinstance(sizes, Shapes):
        return _shaped(asked, sizes)
    return AUTO if asked.auto or str(asked) == sizes.pixels or _same_ratio(asked, sizes.pixels) else None


def _same_ratio(asked: Size, pixels: str) -> bool:
    return bool(pixels and asked.aspect and not asked.tier and ratio(asked) == ratio(parse(pixels)))


def _free(asked: Size, sizes: FreePixels) -> Size | None:
    if asked.auto:
        return AUTO if sizes.auto else parse(sizes.default)
    if asked.width:
        return asked if not _outside(asked, sizes) else None
    own = _match_tier(asked.tier, sizes.tiers)
    if own and not asked.aspect:
        return Size(tier=own)
    if asked.tier and sizes.tiers and not own:
        return None
    shape = ratio(asked) or Fraction(1)
    wanted = area(asked) or 1024**2
    found = _preset(shape, wanted, sizes.presets) or _into_window(shape, wanted, sizes)
    return found if found and _is_tier(found, asked.tier) else None


def _is_tier(found: Size, tier: str) -> bool:
    """May this go by the name of that tier? 4K is 4096x4096, 3840x2160 and 3840x1648, but never 1024x1024."""
    edge = TIER_EDGE.get(tier)
    return edge is None or 0.4 < found.pixels / edge**2 < 2.5 or 0.9 < max(found.width, found.height) / edge < 1.1


def _preset(shape: Fraction, wanted: int, presets: tuple[str, ...]) -> Size | None:
    """A size the vendor itself recommends for this aspect, where one lies near the area asked for."""
    choices = [parse(preset) for preset in presets if preset != "auto"]
    near = [c for c in choices if abs(math.log(float(ratio(c) or 1) / float(shape))) < _SAME_SHAPE]
    near = [c for c in near if 0.6 < c.pixels / wanted < 1.5]
    return min(near, key=lambda c: abs(c.pixels - wanted), default=None)


def _into_window(shape: Fraction, wanted: int, sizes: FreePixels) -> Size | None:
    """The size of this aspect whose area comes nearest to `wanted` inside the model's window."""
    wanted = min(max(wanted, sizes.min_pixels), sizes.max_pixels or wanted)
    width = math.sqrt(wanted * shape)
    if sizes.max_edge:
        width = min(width, sizes.max_edge, sizes.max_edge * float(shape))
    for rounding in (round, math.floor, math.ceil):
        w = max(1, rounding(width / sizes.step)) * sizes.step
        h = max(1, rounding(w / float(shape) / sizes.step)) * sizes.step
        candidate = Size(width=w, height=h)
        if not _outside(candidate, sizes):
            return candidate
    return None


def _outside(size: Size, sizes: FreePixels) -> str:
    """What is wrong with this size, in words; "" when the model takes it."""
    if size.width % sizes.step or size.height % sizes.step:
        return f"both sides must be multiples of {sizes.step}"
    return outside(size.width, size.height, sizes)


def _listed(asked: Size, sizes: ListedPixels) -> Size | None:
    if asked.auto:
        return AUTO if sizes.auto else parse(sizes.default or sizes.values[0])
    choices = [parse(value) for value in sizes.values]
    if asked.width:
        return asked if asked in choices else None
    same = [c for c in choices if _goes_by(c, asked.aspect) and _tier_near(c, asked.tier)]
    return min(same, key=lambda c: distance(asked, c), default=None)


def _goes_by(choice: Size, aspect: str) -> bool:
    """May this be called by that aspect? 1664x928 is a vendor's 16:9."""
    wanted = ratio(Size(aspect=aspect)) if aspect else None
    return wanted is None or abs(math.log(float(ratio(choice) or 1) / float(wanted))) < _SAME_SHAPE


def _tier_near(choice: Size, tier: str) -> bool:
    return not tier or 0.5 < choice.pixels / TIER_EDGE.get(tier, 1) ** 2 < 1.6


def _aspect_word(size: Size) -> str:
    shape = ratio(size) or Fraction(1)
    return f"{shape.numerator}:{shape.denominator}"


def _shaped(asked: Size, sizes: Shapes) -> Size | None:
    if asked.width:
        asked = _shape_of(asked, sizes)
    if asked.aspect and _match_aspect(asked.aspect, sizes.aspects) is None:
        return None
    tier = _match_tier(asked.tier, sizes.tiers)
    if asked.tier and tier is None:
        return None
    aspect = _match_aspect(asked.aspect, sizes.aspects) if asked.aspect else None
    return Size(aspect=aspect or "", tier=tier or "")


def _shape_of(pixels: Size, sizes: Shapes) -> Size:
    """Pixels as aspect and tier, where they say exactly that: 2048x2048 is 1:1 at 2K, 1000x700 is nothing."""
    tiers = [tier for tier in sizes.tiers if TIER_EDGE.get(tier.upper()) in (pixels.width, pixels.height)]
    square = [tier for tier in tiers if pixels.width == pixels.height]
    exact = square or [tier for tier in tiers if 0.4 < pixels.pixels / TIER_EDGE[tier.upper()] ** 2 < 1.1]
    impossible = Size(aspect=_aspect_word(pixels), tier="-")
    if sizes.tiers:
        return Size(aspect=_aspect_word(pixels), tier=exact[0]) if exact else impossible
    return Size(aspect=_aspect_word(pixels)) if pixels.pixels == 1024**2 else impossible


def _match_aspect(aspect: str, aspects: tuple[str, ...]) -> str | None:
    wanted = ratio(Size(aspect=aspect))
    return next((a for a in aspects if ":" in a and ratio(Size(aspect=a)) == wanted), None)


def _match_tier(tier: str, tiers: tuple[str, ...]) -> str | None:
    """What the vendor calls this tier: `2k` is 2K, and 512 is 0.5K."""
    edge = TIER_EDGE.get(tier.upper())
    return next((t for t in tiers if t.upper() == tier.upper() or (edge and TIER_EDGE.get(t.upper()) == edge)), None)


def _nearest_shape(asked: Size, sizes: Shapes) -> Size:
    shapes = [Size(aspect=aspect) for aspect in sizes.aspects if ":" in aspect]
    aspect = min(shapes, key=lambda s: distance(asked, s)[0], default=AUTO).aspect if ratio(asked) else ""
    return Size(aspect=aspect, tier=_nearest_tier(area(asked), sizes.tiers))


def _nearest_tier(wanted: int, tiers: tuple[str, ...]) -> str:
    known = [tier for tier in tiers if tier.upper() in TIER_EDGE]
    edge = math.sqrt(wanted)
    # Of two that are as near the smaller one, which is also the cheaper: 3K is 2K where there is 4K.
    apart = {tier: (abs(TIER_EDGE[tier.upper()] - edge), TIER_EDGE[tier.upper()]) for tier in known}
    return min(known, key=lambda tier: apart[tier], default="") if wanted else ""


def _nearest_free(asked: Size, sizes: FreePixels) -> Size:
    if asked.tier and sizes.tiers:
        asked = Size(aspect=asked.aspect, tier=_nearest_tier(area(asked), sizes.tiers))
        if not asked.aspect:
            return asked
    widest = _widest(sizes)
    shape = ratio(asked) or Fraction(1)
    if widest:
        shape = min(max(shape, 1 / widest), widest)
    found = _into_window(shape, area(asked) or 1024**2, sizes)
    return found or _nearest_listed(asked, sizes.presets, parse(sizes.default))


def _nearest_listed(asked: Size, values: tuple[str, ...], otherwise: Size = AUTO) -> Size:
    choices = [parse(value) for value in values if value != "auto"]
    return min(choices, key=lambda choice: distance(asked, choice), default=otherwise)


def _widest(sizes: FreePixels) -> Fraction:
    """The longer side in terms of the shorter, at the most that the window lets through; 0 where there is no bound."""
    bounds = [Fraction(sizes.max_ratio)]
    if sizes.min_edge:
        bounds += [Fraction(sizes.max_edge, sizes.min_edge), Fraction(sizes.max_pixels, sizes.min_edge**2)]
    if sizes.min_pixels:
        bounds.append(Fraction(sizes.max_edge**2, sizes.min_pixels))
    return min((bound for bound in bounds if bound), default=Fraction(0))


def _complaint(asked: Size, sizes: Sizes) -> str:
    if isinstance(sizes, FreePixels) and asked.width:
        return f"size {asked} is outside what this model takes: {_outside(asked, sizes)}"
    if isinstance(sizes, OwnSize):
        return f"size {asked} cannot be chosen: this model decides its size itself; leave size out"
    return f"size {asked} is not one this model takes; allowed: {', '.join(allowed(sizes))}"
