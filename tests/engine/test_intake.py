"""Inputs: from uploads, URLs and this house's own links to whole, checked, stored bytes."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from aiohttp import web
from msgspec.structs import replace

from pictura.core import ids
from pictura.core.errors import BadRequest, PicturaError, TooLarge
from pictura.core.model import ModelCard
from pictura.core.request import ImageRequest, InputPicture, Upload
from pictura.engine.intake import Inputs, canonical_hash, day_of
from pictura.infra.spool import Spool
from tests.conftest import CARD, Scripted, picture
from tests.engine.conftest import Engine, ask, open_engine

LARGE = picture(512, 512, "bmp")


@pytest.fixture
async def site() -> AsyncIterator[str]:
    """A server of pictures, as a caller's references lead to."""
    answers = {"/fox.png": picture(), "/large.png": LARGE, "/page": b"<html>"}

    async def answer(request: web.Request) -> web.Response:
        data = answers.get(request.path)
        return web.Response(status=404) if data is None else web.Response(body=data, content_type="image/png")

    application = web.Application()
    application.router.add_get("/{path:.*}", answer)
    runner = web.AppRunner(application, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    await runner.cleanup()


@pytest.fixture
async def engine(data: Path, site: str) -> AsyncIterator[Engine]:
    port = int(site.rpartition(":")[2])

    def own_key(url: str) -> str:
        return url.partition("/files/")[2]

    async with open_engine(data, Scripted(), fetch_allow=[("127.0.0.1", port)], own_key=own_key) as engine:
        yield engine


def refs(*names: str, mask: str = "") -> ImageRequest:
    return ask(images=tuple(InputPicture(ref=name) for name in names), mask=InputPicture(ref=mask) if mask else None)


async def gather(
    engine: Engine, request: ImageRequest, *uploads: Upload, cap: int = 10**6, card: ModelCard = CARD
) -> Inputs:
    return await engine.intake.gather(request, uploads, card, cap)


def bounded(**bounds: float) -> ModelCard:
    return replace(CARD, inputs=replace(CARD.inputs, **bounds))


def open_spools(engine: Engine) -> list[str]:
    return engine.files("tmp")


async def test_without_pictures_there_are_none(engine: Engine) -> None:
    inputs = await gather(engine, ask())
    assert inputs.all == ()
    inputs.close()


async def test_uploads_and_urls_in_the_order_asked_for(engine: Engine, site: str) -> None:
    uploads = [engine.upload(picture(10, 20)), engine.upload(picture(30, 40, "webp"))]
    inputs = await gather(engine, refs("upload:1", f"{site}/fox.png", "upload:0"), *uploads)
    assert [(image.media_type, image.width, image.height) for image in inputs.images] == [
        ("image/webp", 30, 40),
        ("image/png", 64, 64),
        ("image/png", 10, 20),
    ]
    assert inputs.images[1].source.read() == picture()
    inputs.close()


async def test_a_mask_belongs_to_the_first_picture(engine: Engine) -> None:
    uploads = [engine.upload(picture()), engine.upload(picture(64, 64, "png"))]
    inputs = await gather(engine, refs("upload:0", mask="upload:1"), *uploads)
    assert inputs.mask is not None
    assert inputs.all == (*inputs.images, inputs.mask)
    inputs.close()
    uploads = [engine.upload(picture()), engine.upload(picture(64, 32))]
    with pytest.raises(BadRequest, match="the mask has 64x32 pixels, the first picture 64x64") as caught:
        await gather(engine, refs("upload:0", mask="upload:1"), *uploads)
    assert caught.value.param == "mask"


@pytest.mark.parametrize(
    ("sent", "message"),
    [
        (b"", "the picture cannot be taken"),
        (b"<html>", "the picture cannot be taken"),
        (picture()[:-30], "the picture is not whole"),
        (picture(64, 64, "gif"), "the picture is gif; this model takes png, jpeg, webp"),
    ],
)
async def test_what_is_no_picture_for_this_model(engine: Engine, sent: bytes, message: str) -> None:
    with pytest.raises(BadRequest, match=message) as caught:
        await gather(engine, refs("upload:0"), engine.upload(sent))
    assert caught.value.param == "image"


async def test_the_wrong_one_of_several_is_named(engine: Engine) -> None:
    uploads = [engine.upload(picture()), Upload("image", engine.upload(b"x").source, media_type="image/heic")]
    with pytest.raises(BadRequest, match=r"picture 2 cannot be taken \(it was called image/heic\)"):
        await gather(engine, refs("upload:0", "upload:1"), *uploads)


@pytest.mark.parametrize("where", ["upload", "url"])
async def test_a_picture_may_be_so_large(engine: Engine, site: str, where: str) -> None:
    request = refs("upload:0" if where == "upload" else f"{site}/large.png")
    with pytest.raises(TooLarge) as caught:
        await gather(engine, request, engine.upload(LARGE), cap=100_000)
    assert caught.value.param == "image"
    assert open_spools(engine) == []


@pytest.mark.parametrize(
    ("bounds", "allowed"),
    [
        ({"min_edge": 49}, ("sides of at least 49 pixels",)),
        ({"max_edge": 95}, ("sides of at most 95 pixels",)),
        ({"min_edge": 49, "max_edge": 8000}, ("sides of 49 to 8,000 pixels",)),
        ({"min_pixels": 48 * 96 + 1}, ("at least 4,609 pixels in all",)),
        ({"max_pixels": 48 * 96 - 1, "max_ratio": 2.5}, ("at most 4,607 pixels in all", "aspects from 1:2.5 to 2.5:1")),
        ({"max_ratio": 1}, ("squares only",)),
    ],
)
@pytest.mark.parametrize("size", [(48, 96), (96, 48)])
async def test_pixels_that_a_model_does_not_take(
    engine: Engine, bounds: dict[str, float], allowed: tuple[str, ...], size: tuple[int, int]
) -> None:
    card = bounded(**bounds)
    with pytest.raises(BadRequest) as caught:
        await gather(engine, refs("upload:0"), engine.upload(picture(*size)), card=card)
    assert caught.value.message == f"the picture has {size[0]}x{size[1]} pixels; fox takes {', '.join(allowed)}"
    assert (caught.value.param, caught.value.allowed) == ("image", allowed)
    assert open_spools(engine) == []


@pytest.mark.parametrize("size", [(48, 96), (96, 48)])
async def test_the_bounds_themselves_are_taken(engine: Engine, size: tuple[int, int]) -> None:
    card = bounded(min_edge=48, max_edge=96, min_pixels=48 * 96, max_pixels=48 * 96, max_ratio=2)
    (await gather(engine, refs("upload:0"), engine.upload(picture(*size)), card=card)).close()


async def test_pixels_of_what_was_fetched_and_of_this_houses_own(engine: Engine, site: str) -> None:
    outcome = await engine.draw()
    assert outcome.result is not None
    own = f"https://elsewhere.example/files/{outcome.result.pictures[0].key}"
    for url in (f"{site}/fox.png", own):
        with pytest.raises(BadRequest, match="the picture has 64x64 pixels; fox takes sides of at least 65 pixels"):
            await gather(engine, refs(url), card=bounded(min_edge=65))
    assert open_spools(engine) == []


@pytest.mark.parametrize(
    ("path", "message"), [("/none.png", "it answered 404"), ("/page", "the picture cannot be taken")]
)
async def test_a_url_that_leads_to_no_picture(engine: Engine, site: str, path: str, message: str) -> None:
    with pytest.raises(BadRequest, match=message) as caught:
        await gather(engine, refs(f"{site}{path}"))
    assert caught.value.param == "image"
    assert open_spools(engine) == []


@pytest.mark.parametrize("url", ["http://10.0.0.1/x.png", "ftp://example.com/x.png", "file:///etc/passwd"])
async def test_a_url_that_leads_where_it_should_not(engine: Engine, url: str) -> None:
    with pytest.raises(PicturaError) as caught:
        await gather(engine, refs(url))
    assert caught.value.param == "image"


async def test_what_was_opened_is_closed_when_something_is_wrong(engine: Engine, site: str) -> None:
    upload = engine.upload(LARGE)
    with pytest.raises(BadRequest):
        await gather(engine, refs(f"{site}/fox.png", "upload:0", f"{site}/none.png"), upload)
    assert isinstance(upload.source, Spool)
    with pytest.raises(ValueError, match="closed"):
        upload.source.read()
    assert open_spools(engine) == []


async def test_a_link_of_this_house_is_read_from_its_blob(engine: Engine) -> None:
    outcome = await engine.draw()
    assert outcome.result is not None
    key = outcome.result.pictures[0].key
    request = refs(f"https://elsewhere.example/files/{key}")
    second = await engine.draw(request)
    assert second.error is None
    assert engine.blobs.open(key).read() == picture()  # copied, not moved
    with pytest.raises(BadRequest, match="no longer kept"):
        await gather(engine, refs("https://elsewhere.example/files/out/2026-11-20/gone.png"))


async def test_copies_of_its_own_pictures_are_not_left_open(engine: Engine) -> None:
    outcome = await engine.draw()
    assert outcome.result is not None
    request = refs(f"https://elsewhere.example/files/{outcome.result.pictures[0].key}")
    await engine.draw(request)
    before = _open_files()
    for _ in range(5):
        await engine.draw(request)
    assert _open_files() == before
    assert engine.files("in") == []


def _open_files() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


async def test_uploads_are_not_left_open(engine: Engine) -> None:
    await engine.draw(refs("upload:0"), uploads=[engine.upload(picture(256, 256))])
    before = _open_files()
    for _ in range(5):
        uploads = [engine.upload(picture(256, 256)), engine.upload(LARGE)]
        await engine.draw(refs("upload:0"), uploads=uploads)
    assert _open_files() == before
    assert open_spools(engine) == []


async def test_inputs_are_kept_and_read_again(engine: Engine) -> None:
    uploads = [engine.upload(picture(10, 20)), engine.upload(picture(10, 20, "webp"))]
    inputs = await gather(engine, refs("upload:0", "upload:1"), *uploads)
    job_id = ids.new("job")
    kept = await engine.intake.keep(job_id, refs("upload:0", "upload:1"), inputs)
    assert [image.key for image in kept.images] == [
        f"in/{day_of(job_id)}/{job_id}-0.png",
        f"in/{day_of(job_id)}/{job_id}-1.webp",
    ]
    assert (kept.images[1].media_type, kept.images[1].width, kept.images[1].height) == ("image/webp", 10, 20)
    inputs.close()
    again = engine.intake.reopen(kept)
    assert [image.source.read() for image in again.all] == [picture(10, 20), picture(10, 20, "webp")]
    await engine.intake.forget(again)
    assert engine.files("in") == []
    assert engine.intake.reopen(kept).all == ()


async def test_a_mask_is_kept_as_a_mask(engine: Engine) -> None:
    uploads = [engine.upload(picture()), engine.upload(picture(64, 64))]
    request = refs("upload:0", mask="upload:1")
    inputs = await gather(engine, request, *uploads)
    kept = await engine.intake.keep(ids.new("job"), request, inputs)
    assert len(kept.images) == 1
    assert kept.mask is not None
    again = engine.intake.reopen(kept)
    assert again.mask is not None
    await engine.intake.forget(again)
    inputs.close()


# -- the same request --


async def hashed(engine: Engine, request: ImageRequest, *data: bytes) -> str:
    inputs = await gather(engine, request, *(engine.upload(part) for part in data))
    try:
        return canonical_hash(request, inputs)
    finally:
        inputs.close()


async def test_a_request_and_its_retry_have_one_hash(engine: Engine) -> None:
    request = refs("upload:0")
    other_spelling = refs("upload:1")
    assert await hashed(engine, request, picture()) == await hashed(engine, other_spelling, b"unused", picture())
    shuffled = [ask(params=params) for params in ({"a": 1, "b": 2}, {"b": 2, "a": 1})]
    assert await hashed(engine, shuffled[0]) == await hashed(engine, shuffled[1])
    words = [ask(adjustable=frozenset(names)) for names in (("size", "style", "n"), ("n", "style", "size"))]
    assert await hashed(engine, words[0]) == await hashed(engine, words[1])


async def test_other_requests_have_other_hashes(engine: Engine) -> None:
    requests = [ask(), ask("b"), ask(n=2), ask(model="wolf"), ask(params={"seed": 1}), ask(delivery="b64_json")]
    hashes = [await hashed(engine, request) for request in requests]
    one = refs("upload:0")
    hashes += [await hashed(engine, one, picture()), await hashed(engine, one, picture(32, 32))]
    hashes.append(await hashed(engine, refs("upload:0", "upload:0"), picture()))
    assert len(set(hashes)) == len(hashes)


def test_a_jobs_day_is_in_its_id() -> None:
    assert day_of(ids.at(1_795_000_000, "job") + "0" * 16) == "2026-11-18"
