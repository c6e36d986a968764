from __future__ import annotations

import io

import pytest
from PIL import Image

from pictura.core.errors import BadRequest
from pictura.core.picture import InMemory
from pictura.providers.base import AskPicture
from pictura.providers.masks import white_where_edited
from tests.providers.conftest import shown


def row(mode: str, *pixels: object) -> AskPicture:
    """A mask of one row; a palette's first colour is its transparent one."""
    made, encoded = Image.new(mode, (len(pixels), 1)), io.BytesIO()
    for place, pixel in enumerate(pixels):
        made.putpixel((place, 0), pixel)  # type: ignore[arg-type]
    made.save(encoded, "png", **({"transparency": 0} if mode == "P" else {}))
    return AskPicture(InMemory(encoded.getvalue()), "image/png", len(pixels), 1)


@pytest.mark.parametrize(
    ("mask", "expected"),
    [
        (row("RGBA", (255, 255, 255, 255), (0, 0, 0, 0)), [0, 255]),
        (row("RGBA", (1, 2, 3, 255), (1, 2, 3, 55)), [0, 200]),
        (row("RGBA", (255, 255, 255, 255), (0, 0, 0, 255)), [0, 0]),
        (row("LA", (255, 255), (0, 0)), [0, 255]),
        (row("P", 1, 0), [0, 255]),
        (row("L", 255, 0), [255, 0]),
        (row("1", 1, 0), [255, 0]),
        (row("I;16", 65535, 0), [255, 0]),
        (row("RGB", (0, 0, 0), (255, 255, 255)), [0, 255]),
    ],
    ids=["colours", "half transparent", "opaque", "grey", "palette", "no alpha", "one bit", "16 bits", "no alpha, RGB"],
)
async def test_it_is_white_where_ours_is_transparent_or_was_white(mask: AskPicture, expected: list[int]) -> None:
    white = await white_where_edited(mask)
    assert (white.media_type, white.width, white.height) == ("image/png", 2, 1)
    found = Image.open(io.BytesIO(white.source.read()))
    assert (found.format, found.mode, found.size) == ("PNG", "L", (2, 1))
    assert list(found.tobytes()) == expected


async def test_a_large_one_needs_few_bytes() -> None:
    white = await white_where_edited(shown(Image.new("RGBA", (2000, 2000), (9, 9, 9, 0))))
    assert white.source.size < 10_000


@pytest.mark.parametrize(
    "data", [b"", b"\x89PNG\r\n\x1a\nbroken", shown(Image.new("RGBA", (64, 64))).source.read()[:-20]]
)
async def test_what_is_no_whole_png_is_the_callers_fault(data: bytes) -> None:
    with pytest.raises(BadRequest) as caught:
        await white_where_edited(AskPicture(InMemory(data), "image/png", 64, 64))
    assert caught.value.param == "mask"
