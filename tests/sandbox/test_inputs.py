from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from pictura.core.errors import BadRequest
from pictura.core.request import mark
from pictura.infra.extract import Cut
from pictura.infra.spool import Spool
from pictura.sandbox.base import Studio
from pictura.sandbox.inputs import IMAGINED_SIDE, look, shown

FORMATS = ("png", "jpeg")
MOST = 100_000
SpoolOf = Callable[[bytes], Spool]


@pytest.fixture
def spool_of(tmp_path: Path) -> Iterator[SpoolOf]:
    made: list[Spool] = []

    def make(data: bytes) -> Spool:
        made.append(Spool(tmp_path, "image/png"))
        made[-1].write(data)
        return made[-1]

    yield make
    for spool in made:
        spool.close()


@pytest.fixture
def studio(tmp_path: Path) -> Iterator[Studio]:
    with ThreadPoolExecutor(1) as threads:
        studio = Studio(lambda key: True, tmp_path, threads)
        studio.own_address = "http://127.0.0.1:9"
        yield studio
        studio.shelf.close()


def test_a_picture_that_is_whole(picture: Callable[..., bytes], spool_of: SpoolOf) -> None:
    data = picture(64, 48)
    found = look(spool_of(data), FORMATS, len(data))
    assert found.data == data
    assert (found.media.format, found.media.width, found.media.height) == ("png", 64, 48)


@pytest.mark.parametrize(
    ("change", "formats", "most_bytes", "says"),
    [
        (lambda data: data, FORMATS, 10, "at most 10 are taken"),
        (lambda data: data, ("jpeg", "webp"), MOST, "a png is not taken; send one of jpeg, webp"),
        (lambda data: data[:-20], FORMATS, MOST, "cannot be read"),
        (lambda data: b"a fox", FORMATS, MOST, "not a picture"),
        (lambda data: b"", FORMATS, MOST, "is empty"),
    ],
)
def test_what_is_not_taken(
    change: Callable[[bytes], bytes],
    formats: tuple[str, ...],
    most_bytes: int,
    says: str,
    picture: Callable[..., bytes],
    spool_of: SpoolOf,
) -> None:
    with pytest.raises(BadRequest, match=says):
        look(spool_of(change(picture(64, 48))), formats, most_bytes)


async def test_base64_that_was_cut_out(picture: Callable[..., bytes], spool_of: SpoolOf, studio: Studio) -> None:
    cuts = [Cut(spool_of(picture(64, 48)), "image"), Cut(spool_of(b""), "image", flaw="it is odd")]
    assert (await shown(mark(0), cuts, studio, FORMATS, MOST)).media.width == 64
    with pytest.raises(BadRequest, match="it is odd"):
        await shown(mark(1), cuts, studio, FORMATS, MOST)


async def test_a_url_of_its_own_shelf_is_the_picture_there(
    picture: Callable[..., bytes], spool_of: SpoolOf, studio: Studio
) -> None:
    url = studio.publish(spool_of(picture(64, 48)))
    assert (await shown(url, [], studio, FORMATS, MOST)).media.width == 64


async def test_any_other_url_is_imagined(studio: Studio) -> None:
    first, again, other = [
        await shown(url, [], studio, FORMATS, MOST)
        for url in ("https://example.com/1.png", "https://example.com/1.png", "http://example.com/2.png")
    ]
    assert (first.media.format, first.media.width, first.media.height) == ("png", IMAGINED_SIDE, IMAGINED_SIDE)
    assert first.data == again.data != other.data


@pytest.mark.parametrize("value", [None, 7, ["x"], "", "a fox", "ftp://example.com/1.png", mark(0)])
async def test_anything_else_is_no_picture(value: object, studio: Studio) -> None:
    with pytest.raises(BadRequest, match="base64 or an http"):
        await shown(value, [], studio, FORMATS, MOST)
