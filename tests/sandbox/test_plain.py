from __future__ import annotations

import base64
from collections.abc import Callable

import msgspec
import pytest
from aiohttp import ClientSession

from pictura.core.media import Media
from tests.sandbox.conftest import data_url, look


class Drawn(msgspec.Struct):
    b64_json: str
    seed: int

    @property
    def data(self) -> bytes:
        return base64.b64decode(self.b64_json, validate=True)


class Answer(msgspec.Struct):
    pictures: list[Drawn]


class Complaint(msgspec.Struct):
    code: str
    message: str


class Failure(msgspec.Struct):
    error: Complaint


async def draw(http: ClientSession, address: str, **fields: object) -> list[Drawn]:
    async with http.post(f"{address}/plain/v1/draw", json={"model": "acme-1", "prompt": "a fox", **fields}) as answer:
        assert answer.status == 200, await answer.text()
        return msgspec.json.decode(await answer.read(), type=Answer).pictures


async def complaint(http: ClientSession, address: str, fields: dict[str, object], status: int = 400) -> Complaint:
    async with http.post(f"{address}/plain/v1/draw", json={"model": "acme-1", "prompt": "a fox", **fields}) as answer:
        assert answer.status == status, await answer.text()
        return msgspec.json.decode(await answer.read(), type=Failure).error


@pytest.mark.parametrize(
    ("asked", "width", "height"),
    [
        ({}, 1024, 1024),
        ({"size": "300x200"}, 300, 200),
        ({"size": "300x200", "aspect": "9:16", "tier": "2K"}, 300, 200),
        ({"size": "auto", "aspect": "1:1", "tier": "512"}, 512, 512),
        ({"tier": "2K"}, 2048, 2048),
        ({"aspect": "16:9"}, 1365, 768),
    ],
)
async def test_size(address: str, http: ClientSession, asked: dict[str, str], width: int, height: int) -> None:
    (drawn,) = await draw(http, address, **asked)
    assert look(drawn.data) == Media("image/png", width, height)


@pytest.mark.parametrize("format", ["png", "jpeg", "webp"])
async def test_format(address: str, http: ClientSession, format: str) -> None:
    (drawn,) = await draw(http, address, size="64x64", output_format=format)
    assert look(drawn.data).format == format


async def test_a_transparent_background(address: str, http: ClientSession) -> None:
    (drawn,) = await draw(http, address, size="64x64", output_format="webp", background="transparent")
    assert look(drawn.data).alpha


async def test_compression_is_obeyed(address: str, http: ClientSession) -> None:
    (small,) = await draw(http, address, size="256x256", output_format="jpeg", output_compression=5)
    (large,) = await draw(http, address, size="256x256", output_format="jpeg", output_compression=95)
    assert len(small.data) < len(large.data)


async def test_pictures_differ_by_seed_and_come_again(address: str, http: ClientSession) -> None:
    first, second, third = await draw(http, address, size="64x64", n=3, seed=7)
    assert [first.seed, second.seed, third.seed] == [7, 8, 9]
    assert len({first.data, second.data, third.data}) == 3
    (again,) = await draw(http, address, size="64x64", seed=8)
    assert again.data == second.data


async def test_without_a_seed_the_same_request_gives_the_same_picture(address: str, http: ClientSession) -> None:
    assert await draw(http, address, size="64x64") == await draw(http, address, size="64x64")
    assert await draw(http, address, size="64x64") != await draw(http, address, size="64x64", prompt="a hare")


async def test_an_edit_shows_its_picture_and_mask(
    address: str, http: ClientSession, picture: Callable[..., bytes]
) -> None:
    images = [data_url(picture(80, 60, mode="RGB"))] * 2
    (alone,) = await draw(http, address, size="80x60")
    (edited,) = await draw(http, address, size="80x60", images=images)
    (masked,) = await draw(http, address, size="80x60", images=images, mask=data_url(picture(80, 60, mode="L")))
    assert len({alone.data, edited.data, masked.data}) == 3


@pytest.mark.parametrize(
    "fields",
    [
        {"model": ""},
        {"n": 0},
        {"n": "2"},
        {"n": 17},
        {"size": "large"},
        {"size": "20000x20000"},
        {"aspect": "wide"},
        {"output_format": "gif"},
        {"output_compression": 101},
        {"background": "blue"},
        {"background": "transparent", "output_format": "jpeg"},
        {"images": ["https://127.0.0.1/fox.png"]},
        {"images": ["data:image/png;base64,aGVsbG8="]},
        {"images": ["data:image/png;base64,a*b"]},
        {"colour": "blue"},
    ],
    ids=str,
)
async def test_what_is_wrong_is_refused(address: str, http: ClientSession, fields: dict[str, object]) -> None:
    error = await complaint(http, address, fields)
    assert error.code in ("invalid_request", "unsupported_value")
    assert error.message


async def test_a_body_that_is_no_json_object(address: str, http: ClientSession) -> None:
    for body in (b"", b"[]", b"{", b'{"model": "acme-1"', b"\xff", b'{"a":' + b"[" * 50_000):
        async with http.post(f"{address}/plain/v1/draw", data=body) as answer:
            assert answer.status == 400, body[:20]


async def test_a_refusal(address: str, http: ClientSession) -> None:
    assert (await complaint(http, address, {"prompt": "a fox [refuse]"})).code == "content_refused"


async def test_an_unknown_key(address: str) -> None:
    async with ClientSession() as stranger:
        assert (await complaint(stranger, address, {}, 401)).code == "unauthorized"


async def test_a_truncated_picture_is_really_cut_short(address: str, http: ClientSession) -> None:
    (cut,) = await draw(http, address, size="64x64", prompt="a fox [fault:truncated]")
    with pytest.raises(AssertionError):
        look(cut.data)
