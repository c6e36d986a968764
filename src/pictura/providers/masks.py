"""Masks: ours are transparent where the picture is edited, many vendors' are white there."""

from __future__ import annotations

import asyncio

from pictura.core.errors import BadRequest
from pictura.core.picture import InMemory
from pictura.infra.vips import vips
from pictura.providers.base import AskPicture


async def white_where_edited(mask: AskPicture) -> AskPicture:
    """Our mask without alpha, in grey: white what was transparent, black what was opaque. One without alpha is white
    there already. Two colours need few bytes, whatever the pixels, so it is held in memory.

    Raises BadRequest where it is no PNG that is whole.
    """
    data = await asyncio.to_thread(_whitened, mask)
    return AskPicture(InMemory(data), "image/png", mask.width, mask.height)


def _whitened(mask: AskPicture) -> bytes:
    try:
        found = vips().Image.pngload_buffer(mask.source.read(), fail_on="error").colourspace("srgb").cast("uchar")
        white = found[found.bands - 1].invert() if found.hasalpha() else found.colourspace("b-w")
        whitened: bytes = white.copy(interpretation="b-w").pngsave_buffer(keep="none")
    except vips().Error as error:
        raise BadRequest("the mask is not a PNG that can be read; send it whole", param="mask") from error
    return whitened
