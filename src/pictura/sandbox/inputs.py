"""The pictures that a vendor is shown: whole, of a kind it takes, not too large. Nothing is ever fetched.

A URL of the sandbox's own shelf is the picture that lies there; of any other URL the sandbox paints what it imagines
there, since it contacts nobody.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence

import msgspec

from pictura.core.errors import BadRequest
from pictura.core.media import Media, flaw, guard, sniff
from pictura.infra.extract import Cut, find
from pictura.infra.spool import Spool
from pictura.sandbox.base import Studio
from pictura.sandbox.chance import seed_from
from pictura.sandbox.draw import Scene

#: Pixels on a side of an imagined picture.
IMAGINED_SIDE = 1024
#: As much as the sandbox enlarges a picture, where its vendor knows no bound or a higher one.
MOST_PIXELS = 16_777_216


class Input(msgspec.Struct, frozen=True, eq=False):
    """An input that has been looked at."""

    data: bytes
    media: Media

    @property
    def fingerprint(self) -> str:
        """Tells it from other pictures."""
        return hashlib.blake2s(self.data, digest_size=8).hexdigest()

    def enlarged(self, factor: float, most_side: int = MOST_PIXELS) -> tuple[int, int]:
        """Its width and height so many times, but no side above `most_side`, and no more than MOST_PIXELS in all."""
        width, height = self.media.width * factor, self.media.height * factor
        shrink = min(1.0, most_side / max(width, height), math.sqrt(MOST_PIXELS / (width * height)))
        return max(1, round(width * shrink)), max(1, round(height * shrink))


def look(spool: Spool, formats: Sequence[str], most_bytes: int) -> Input:
    """Raises BadRequest for what is no whole picture of one of the `formats` (`png`, `jpeg`, …), or too large."""
    if spool.size > most_bytes:
        raise BadRequest(f"the picture has {spool.size:,} bytes, at most {most_bytes:,} are taken")
    media = sniff(spool.read, spool.size)
    guard(media)
    broken = flaw(spool.read, spool.size, media)
    if broken:
        raise BadRequest(f"the picture cannot be read: {broken}")
    if media.format not in formats:
        raise BadRequest(f"a {media.format} is not taken; send one of {', '.join(formats)}")
    return Input(spool.read(), media)


async def shown(value: object, cuts: Sequence[Cut], studio: Studio, formats: Sequence[str], most_bytes: int) -> Input:
    """The picture that a value of a JSON body stands for: base64 that was cut out of it, or an http(s) URL.

    Raises BadRequest for anything else.
    """
    cut = find(value, cuts)
    if cut is not None:
        if cut.flaw:
            raise BadRequest(f"the picture cannot be read: {cut.flaw}")
        return look(cut.spool, formats, most_bytes)
    if not isinstance(value, str) or not value.startswith(("http://", "https://")):
        raise BadRequest("a picture must be base64 or an http(s) URL")
    lying = studio.lying(value)
    if lying is not None:
        return look(lying, formats, most_bytes)
    data = await studio.draw(
        Scene("a picture at", value, IMAGINED_SIDE, IMAGINED_SIDE, seed=seed_from(value), format="png")
    )
    return Input(data, Media("image/png", IMAGINED_SIDE, IMAGINED_SIDE))
