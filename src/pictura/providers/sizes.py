"""Sizes where several vendors want them in one way that no card can say."""

from __future__ import annotations

import math

from pictura.core.errors import Unsupported
from pictura.core.media import MAX_PIXELS
from pictura.core.model import Span
from pictura.core.size import TIER_EDGE, Size, distance
from pictura.providers.base import Ask

_ASPECTS = ("1:1", "2:3", "3:2", "3:4", "4:3", "4:5", "5:4", "9:16", "16:9", "9:21", "21:9", "1:2", "2:1", "1:3", "3:1")
_TIERS = ("1K", "2K", "4K")


def in_words(pixels: Size) -> Size:
    """The aspect and the tier nearest to these pixels, for which there is no word: 3840x2160 is 16:9 at 4K."""
    shape = min((Size(aspect=aspect) for aspect in _ASPECTS), key=lambda aspect: distance(pixels, aspect)[0])
    longest = max(pixels.width, pixels.height)
    by_edge = next((tier for tier in _TIERS if 0.9 < longest / TIER_EDGE[tier] < 1.1), "")
    by_area = min(_TIERS, key=lambda tier: distance(pixels, Size(tier=tier))[1])
    return Size(aspect=shape.aspect, tier=by_edge or by_area)


def check_enlarged(ask: Ask) -> None:
    """Raises Unsupported for pictures that would become larger than the house delivers: they would be paid for all
    the same.
    """
    option = ask.card.params.get("upscale_factor")
    factor = ask.params.get("upscale_factor", option.default if isinstance(option, Span) else None)
    most = max((image.width * image.height for image in ask.images), default=0)
    if isinstance(factor, int | float) and most * factor**2 > MAX_PIXELS:
        largest = math.floor(math.sqrt(MAX_PIXELS / most) * 100) / 100
        raise Unsupported(
            f"upscale_factor {factor:g} makes {most:,} pixels into {most * factor**2:,.0f}; at most {MAX_PIXELS:,} are "
            f"delivered, so take {largest:g} or send a smaller picture",
            param="upscale_factor",
            allowed=(f"at most {largest:g}",),
        )
