"""From what a provider handed over to what is kept."""

from __future__ import annotations

import asyncio
import errno
import io
import os
import random
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from PIL import Image

from pictura.core import ids
from pictura.core.errors import HouseError, Malformed
from pictura.core.request import ImageRequest
from pictura.core.result import Delivered
from pictura.engine.deliver import Deliverer, Wish
from pictura.engine.intake import day_of
from pictura.infra.spool import Spool
from pictura.providers.base import Raw
from tests.conftest import Drawn, Scripted, picture
from tests.engine.conftest import Engine, ask, channel, open_engine, size_of

JOB = ids.at(1_795_000_000, "job") + "0" * 16


@pytest.fixture
async def site() -> AsyncIterator[str]:
    """A vendor's file server."""

    asked: list[str] = []

    async def answer(request: web.Request) -> web.Response:
        asked.append(request.path)
        if request.path == "/late.png" and asked.count("/late.png") < 3:
            return web.Response(status=503)
        if request.path not in ("/fox.png", "/late.png"):
            return web.Response(status=403, text="signature expired")
        return web.Response(body=picture(), content_type="binary/octet-stream")

    application = web.Application()
    application.router.add_get("/{path:.*}", answer)
    runner = web.AppRunner(application, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    await runner.cleanup()


@pytest.fixture
def deliverer(engine: Engine) -> Deliverer:
    return engine.gateway._tools.deliverer


def raw(engine: Engine, data: bytes, *, passing: bool = False, **said: Any) -> Raw:
    spool = engine.blobs.spool(passing=passing)
    spool.write(data)
    return Raw(spool=spool, **said)


async def deliver(deliverer: Deliverer, given: Raw, **said: Any) -> Delivered:
    return await deliverer.deliver(given, Wish(**{"job_id": JOB, **said}), 0, 0, {})


def is_open(spool: Spool | None) -> bool:
    assert spool is not None
    try:
        spool.read(0, 1)
    except ValueError:
        return False
    return True


async def test_a_paid_picture_is_asked_for_again(
    engine: Engine, deliverer: Deliverer, site: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pictura.engine.deliver.FETCH_PAUSES_S", (0.01, 0.01))
    delivered = await deliver(deliverer, Raw(url=f"{site}/late.png"), allow_private=True)
    assert engine.blobs.open(delivered.key).read() == picture()


async def test_a_picture_that_is_too_large_is_not_asked_for_again(
    deliverer: Deliverer, site: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pictura.engine.deliver.LARGEST_PICTURE", 10)
    monkeypatch.setattr("pictura.engine.deliver.FETCH_PAUSES_S", (3600,))
    with pytest.raises(Malformed, match="larger than 10 bytes"):
        await asyncio.wait_for(deliver(deliverer, Raw(url=f"{site}/fox.png"), allow_private=True), 5)


@pytest.mark.parametrize("format", ["png", "jpeg", "webp", "gif", "avif"])
async def test_a_picture_is_kept_as_it_came(engine: Engine, deliverer: Deliverer, format: str) -> None:
    given = raw(engine, picture(80, 60, format), revised_prompt="a red fox", seed=7)
    delivered = await deliver(deliverer, given)
    extension = {"jpeg": "jpg"}.get(format, format)
    assert delivered == Delivered(
        key=f"out/{day_of(JOB)}/{JOB}-0-0.{extension}",
        media_type=f"image/{format}",
        width=80,
        height=60,
        bytes=len(picture(80, 60, format)),
        revised_prompt="a red fox",
        seed=7,
    )
    assert engine.blobs.open(delivered.key).read() == picture(80, 60, format)
    assert not is_open(given.spool)
    assert engine.files("tmp") == []


@pytest.mark.parametrize(("came", "wanted"), [("png", "webp"), ("webp", "jpeg"), ("jpeg", "png"), ("avif", "png")])
async def test_another_format_is_made_and_what_came_is_closed(
    engine: Engine, deliverer: Deliverer, came: str, wanted: str
) -> None:
    given = raw(engine, picture(80, 60, came))
    delivered = await deliver(deliverer, given, output_format=wanted)
    data = engine.blobs.open(delivered.key).read()
    assert (delivered.media_type, size_of(data), delivered.bytes) == (f"image/{wanted}", (80, 60), len(data))
    assert not is_open(given.spool)
    assert engine.files("tmp") == []


async def test_the_format_that_came_is_not_made_again(engine: Engine, deliverer: Deliverer) -> None:
    delivered = await deliver(deliverer, raw(engine, picture()), output_format="png", output_compression=5)
    assert engine.blobs.open(delivered.key).read() == picture()


async def test_what_its_vendor_did_not_compress_is_compressed_here(data: Path) -> None:
    class Told(Scripted):
        name = "told"
        MODELS = ()
        compresses = frozenset({"webp"})

    came = Drawn(data=picture(128, 128, "webp"))
    wanted = ask(output_format="webp", output_compression=0)
    channels = channel(), channel("told", provider="told", models={"fox": ""})
    async with open_engine(data, Scripted(came, came), Told(came), channels=channels) as engine:

        async def drawn(request: ImageRequest, by: str) -> bytes:
            outcome = await engine.draw(request, channel=by)
            assert outcome.result
            return engine.blobs.open(outcome.result.pictures[0].key).read()

        assert await drawn(wanted, "told") == came.data
        assert await drawn(ask(output_format="webp"), "main") == came.data
        made = await drawn(wanted, "main")
        assert (made != came.data, size_of(made)) == (True, (128, 128))


@pytest.mark.parametrize(
    ("came", "flaw", "message"),
    [
        (b"", "", "is no picture"),
        (b"<html>", "", "is no picture"),
        (picture()[:-20], "", "is not whole"),
        (picture(), "it ended in the middle", "is not whole: it ended in the middle"),
    ],
    ids=["empty", "page", "torn", "flawed"],
)
async def test_what_is_no_whole_picture(
    engine: Engine, deliverer: Deliverer, came: bytes, flaw: str, message: str
) -> None:
    given = raw(engine, came, flaw=flaw)
    with pytest.raises(Malformed, match=message):
        await deliver(deliverer, given)
    assert not is_open(given.spool)
    assert engine.files("out") == engine.files("tmp") == []


async def test_a_picture_that_cannot_be_decoded_cannot_be_another_format(engine: Engine, deliverer: Deliverer) -> None:
    data = bytearray(picture(200, 200))
    start = data.index(b"IDAT") + 4
    data[start : start + 20] = bytes(20)
    given = raw(engine, bytes(data))
    with pytest.raises(Malformed):
        await deliver(deliverer, given, output_format="webp")
    assert not is_open(given.spool)
    assert engine.files("tmp") == []


# -- pictures that lie elsewhere --


async def test_a_vendors_url_is_fetched_and_hosted(engine: Engine, deliverer: Deliverer, site: str) -> None:
    delivered = await deliver(deliverer, Raw(url=f"{site}/fox.png"), allow_private=True)
    assert engine.blobs.open(delivered.key).read() == picture()
    assert delivered.url == ""
    assert engine.files("tmp") == []


@pytest.mark.parametrize(("path", "private"), [("/gone.png", True), ("/fox.png", False)])
async def test_a_picture_that_cannot_be_fetched_was_drawn_all_the_same(
    deliverer: Deliverer, site: str, path: str, private: bool
) -> None:
    with pytest.raises(Malformed, match="made a picture, but it could not be had") as caught:
        await deliver(deliverer, Raw(url=f"{site}{path}?X-Signature=secret"), allow_private=private)
    assert caught.value.possibly_billed
    assert "secret" not in caught.value.message


async def test_a_url_may_be_handed_on(deliverer: Deliverer, site: str) -> None:
    delivered = await deliver(deliverer, Raw(url=f"{site}/gone.png", seed=7), relay=True)
    assert delivered == Delivered(url=f"{site}/gone.png", seed=7)


async def test_what_came_as_bytes_is_hosted_where_urls_are_handed_on(engine: Engine, deliverer: Deliverer) -> None:
    assert (await deliver(deliverer, raw(engine, picture()), relay=True)).key


@pytest.mark.parametrize(
    ("delivery", "named", "relayed"),
    [("url", True, True), ("url", False, True), ("b64_json", False, True), ("b64_json", True, False)],
)
async def test_a_relaying_channel(data: Path, site: str, delivery: str, named: bool, relayed: bool) -> None:
    provider = Scripted(Drawn(urls=(f"{site}/fox.png",)))
    async with open_engine(data, provider, channels=[channel(relay=True, allow_private=True)]) as engine:
        outcome = await engine.draw(ask(delivery=delivery, delivery_named=named))
        assert outcome.result is not None
        (drawn,) = outcome.result.pictures
        assert bool(drawn.url) is relayed
        assert outcome.result.cost == 40_000
        assert len(engine.files("out")) == (not relayed)


@pytest.mark.parametrize(
    ("output_format", "named", "relayed"), [("jpeg", True, False), ("jpeg", False, True), ("webp", True, True)]
)
async def test_a_relaying_channel_makes_the_format_that_its_vendor_does_not(
    data: Path, site: str, output_format: str, named: bool, relayed: bool
) -> None:
    """If the client named it: a router's usual one gives way to what the operator wants."""
    provider = Scripted(Drawn(urls=(f"{site}/fox.png",)))
    async with open_engine(data, provider, channels=[channel(relay=True, allow_private=True)]) as engine:
        outcome = await engine.draw(ask(delivery="url", output_format=output_format, format_named=named))
        assert outcome.result is not None
        (drawn,) = outcome.result.pictures
        assert bool(drawn.url) is relayed
        assert drawn.media_type == ("" if relayed else "image/jpeg")


# -- ephemeral --


async def test_what_is_ephemeral_stays_in_hand(engine: Engine, deliverer: Deliverer) -> None:
    held: dict[str, Spool] = {}
    given = raw(engine, picture())
    delivered = await deliverer.deliver(given, Wish(JOB, ephemeral=True), 0, 0, held)
    assert held[delivered.key].read() == picture()
    assert engine.files("out") == []
    webp = await deliverer.deliver(raw(engine, picture()), Wish(JOB, "webp", ephemeral=True), 0, 1, held)
    assert size_of(held[webp.key].read()) == (64, 64)
    for spool in held.values():
        spool.close()
    assert engine.files("tmp") == []


@pytest.mark.parametrize(
    ("passing", "inline", "stays"), [(True, True, True), (False, True, False), (True, False, False)]
)
async def test_what_the_answer_holds_is_kept_and_stays_in_hand(
    engine: Engine, deliverer: Deliverer, passing: bool, inline: bool, stays: bool
) -> None:
    """Unless it had to become a file: that is read from the store."""
    data = _noisy(200)
    held: dict[str, Spool] = {}
    delivered = await deliverer.deliver(raw(engine, data, passing=passing), Wish(JOB, inline=inline), 0, 0, held)
    assert engine.blobs.open(delivered.key).read() == data
    assert [spool.read() for spool in held.values()] == ([data] if stays else [])
    for spool in held.values():
        spool.close()


async def test_a_paid_picture_reaches_its_client_even_if_it_cannot_be_kept(
    engine: Engine, deliverer: Deliverer, monkeypatch: pytest.MonkeyPatch, quiet: pytest.LogCaptureFixture
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    held: dict[str, Spool] = {}
    delivered = await deliverer.deliver(raw(engine, picture()), Wish(JOB, inline=True), 0, 0, held)
    assert held[delivered.key].read() == picture()
    held[delivered.key].close()
    with pytest.raises(HouseError, match=r"could not write to its disk \(No space left on device\)"):
        await deliverer.deliver(raw(engine, picture()), Wish(JOB), 0, 1, held)
    assert engine.files("tmp") == []


def _noisy(side: int) -> bytes:
    """A picture of more bytes than a spool keeps in little memory."""
    encoded = io.BytesIO()
    Image.frombytes("RGB", (side, side), random.Random(1).randbytes(3 * side * side)).save(encoded, "png")
    return encoded.getvalue()


async def test_what_is_ephemeral_and_broken_is_closed(engine: Engine, deliverer: Deliverer) -> None:
    given = raw(engine, b"nothing")
    with pytest.raises(Malformed):
        await deliverer.deliver(given, Wish(JOB, ephemeral=True), 0, 0, {})
    assert not is_open(given.spool)


# -- found again --


async def test_stored_pictures_are_found_again_in_their_order(engine: Engine, deliverer: Deliverer) -> None:
    wish = Wish(JOB)
    for number in (10, 2, 0):
        await deliverer.deliver(raw(engine, picture(64 + number, 64)), wish, 1, number, {})
    await deliverer.deliver(raw(engine, picture(16, 16)), wish, 10, 0, {})
    assert [found.width for found in await deliverer.recover(wish, 1)] == [64, 66, 74]
    assert [found.width for found in await deliverer.recover(wish, 10)] == [16]
    assert await deliverer.recover(wish, 0) == []


async def test_what_is_torn_is_not_found(engine: Engine, deliverer: Deliverer) -> None:
    for number, data in enumerate((picture()[:-9], b"", picture())):
        spool = engine.blobs.spool()
        spool.write(data)
        await engine.blobs.put(f"out/{day_of(JOB)}/{JOB}-0-{number}.png", spool)
        spool.close()
    (found,) = await deliverer.recover(Wish(JOB), 0)
    assert found.key.endswith("-0-2.png")
