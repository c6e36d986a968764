"""OpenAI's SDK, synchronous and asynchronous, at both addresses of its dialect.

What reaches a provider, and how the asynchronous client repeats itself: tests/doors/http/test_openai_sdk.py.
"""

from __future__ import annotations

import asyncio
import base64
import io
from collections.abc import Iterable
from pathlib import Path

import msgspec
import openai
import pytest
from openai import AsyncOpenAI, OpenAI
from openai.types import (
    Image,
    ImageEditCompletedEvent,
    ImageEditPartialImageEvent,
    ImageEditStreamEvent,
    ImageGenCompletedEvent,
    ImageGenPartialImageEvent,
    ImageGenStreamEvent,
    ImagesResponse,
)

from pictura.core.job import JobState
from pictura.core.media import Media
from tests.doors.door import LIVE, MODEL, PRICE, SHARED, TEST, Door, look, until
from tests.upstream import Behaviour, Upstream, page, picture, say, stream, when

pytestmark = pytest.mark.asyncio(loop_scope="module")

PNG = picture()
MASK = picture(mode="RGBA")
SQUARE = Media("image/png", 1024, 1024)


@pytest.fixture(params=["/openai/v1", "/v1"], ids=["prefix", "bare"])
def base(request: pytest.FixtureRequest, door: Door) -> str:
    return f"{door.url}{request.param}"


def synchronous(base: str, key: str = TEST, retries: int = 0, timeout: float = 20) -> OpenAI:
    return OpenAI(api_key=key, base_url=base, max_retries=retries, timeout=timeout)


def asynchronous(base: str, key: str = TEST, retries: int = 0) -> AsyncOpenAI:
    return AsyncOpenAI(api_key=key, base_url=base, max_retries=retries, timeout=20)


def pictures(answer: ImagesResponse) -> list[bytes]:
    return [base64.b64decode(image.b64_json or "", validate=True) for image in answer.data or []]


def urls(answer: ImagesResponse) -> list[str]:
    return [image.url or "" for image in answer.data or []]


# -- pictures --


async def test_base64(base: str) -> None:
    def talk() -> tuple[ImagesResponse, ImagesResponse]:
        with synchronous(base) as sdk:
            drawn = sdk.images.generate(model=SHARED, prompt="a fox", size="1536x1024", output_format="jpeg", n=2)
            edited = sdk.images.edit(model=SHARED, prompt="a hat", image=("a.png", PNG), mask=("m.png", MASK), n=2)
            return drawn, edited

    drawn, edited = await asyncio.to_thread(talk)
    assert [look(data) for data in pictures(drawn)] == [Media("image/jpeg", 1536, 1024)] * 2
    assert [look(data) for data in pictures(edited)] == [SQUARE] * 2
    assert len({*pictures(drawn), *pictures(edited)}) == 4


async def test_urls(base: str, door: Door) -> None:
    async with asynchronous(base) as sdk:
        drawn = await sdk.images.generate(model=MODEL, prompt="a fox", response_format="url", n=2)
        edited = await sdk.images.edit(model=MODEL, prompt="a hat", image=("a.png", PNG), response_format="url")
    files = [await door.send("GET", url) for url in (*urls(drawn), *urls(edited))]
    assert [look(file.body) for file in files] == [SQUARE] * 3
    assert not pictures(drawn)[0]


async def test_many_at_once(base: str) -> None:
    async with asynchronous(base) as sdk:
        asked = (sdk.images.generate(model=SHARED, prompt=f"fox {number}", quality="low") for number in range(4))
        answers = await asyncio.gather(*asked)
    assert len({pictures(answer)[0] for answer in answers}) == 4


async def test_every_way_to_hand_over_a_file(base: str, tmp_path: Path, upstream: Upstream) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(PNG)

    def talk() -> ImagesResponse:
        with synchronous(base, LIVE) as sdk, path.open("rb") as file:
            pair, triple = ("a.png", PNG), ("a.png", io.BytesIO(PNG), "image/png")
            return sdk.images.edit(
                model=SHARED, prompt="a hat", image=[pair, triple, path, file, io.BytesIO(PNG), PNG], mask=path
            )

    answer = await asyncio.to_thread(talk)
    assert len(pictures(answer)) == 1
    assert upstream.seen[0].files == [("image[]", PNG)] * 6 + [("mask", PNG)]


async def test_models_of_every_vendor(base: str) -> None:
    """What OpenAI's SDK has no word for goes as `extra_body`."""
    async with asynchronous(base) as sdk:
        answer = await sdk.images.generate(
            model="seedream-4.5", prompt="a fox", extra_body={"aspect_ratio": "16:9", "watermark": False}
        )
        assert look(pictures(answer)[0]) == Media("image/jpeg", 2560, 1440)
        assert (answer.size, answer.output_format) == ("2560x1440", "jpeg")
        edited = await sdk.images.edit(model="Nano-Banana", prompt="a hat", image=("a.png", PNG))
        assert look(pictures(edited)[0]).width == 1024


async def test_asynchronous_jobs(base: str) -> None:
    """Pictura's own `?async=true`, by what the SDK offers for paths it does not know."""

    class Task(openai.BaseModel):
        id: str
        status: str
        data: list[Image] | None = None

    async with asynchronous(base) as sdk:
        body = {"model": SHARED, "prompt": "a fox"}
        task = await sdk.post("/images/generations?async=true", body=body, cast_to=Task)
        assert task.status == "queued"
        async with asyncio.timeout(10):
            while task.status != "completed":
                task = await sdk.get(f"/images/generations/{task.id}", cast_to=Task)
                await asyncio.sleep(0.02)
    (image,) = task.data or []
    assert look(base64.b64decode(image.b64_json or "")) == SQUARE


async def test_nothing_but_the_environment(base: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A program that names neither key nor address is moved to the house by two variables."""
    monkeypatch.setenv("OPENAI_BASE_URL", base)
    monkeypatch.setenv("OPENAI_API_KEY", TEST)
    async with AsyncOpenAI() as sdk:
        assert len(pictures(await sdk.images.generate(model=SHARED, prompt="a fox"))) == 1


async def test_the_raw_answer(base: str) -> None:
    def talk() -> tuple[str, ImagesResponse, bytes]:
        with synchronous(base) as sdk:
            raw = sdk.images.with_raw_response.generate(model=SHARED, prompt="a fox")
            assert raw.status_code == 200
            assert raw.headers["x-pictura-sandbox"] == "true"
            assert raw.headers["x-pictura-job"].startswith("job_")
            create = sdk.images.with_streaming_response.edit
            with create(model=SHARED, prompt="a hat", image=("a.png", PNG)) as flowing:
                return raw.headers["x-request-id"], raw.parse(), b"".join(flowing.iter_bytes())

    request_id, parsed, body = await asyncio.to_thread(talk)
    assert look(pictures(parsed)[0]) == SQUARE
    assert parsed._request_id == request_id
    assert pictures(ImagesResponse.model_validate_json(body))


# -- streams --


def shown(
    events: Iterable[ImageGenStreamEvent | ImageEditStreamEvent], partial: type, completed: type, previews: int
) -> None:
    """So many previews in their order, then the picture; all of them can be looked at."""
    *first, last = events
    assert [type(event) for event in first] == [partial] * previews
    assert [getattr(event, "partial_image_index", None) for event in first] == list(range(previews))
    assert isinstance(last, completed)
    assert {look(base64.b64decode(event.b64_json)).type for event in (*first, last)} == {"image/png"}


@pytest.mark.parametrize("previews", [0, 3])
async def test_streams_of_the_synchronous_client(base: str, previews: int) -> None:
    def talk() -> None:
        with synchronous(base) as sdk:
            draw, edit = sdk.images.generate, sdk.images.edit
            with draw(model=SHARED, prompt="a fox", stream=True, partial_images=previews) as drawn:
                shown(drawn, ImageGenPartialImageEvent, ImageGenCompletedEvent, previews)
            hat = ("a.png", PNG)
            with edit(model=SHARED, prompt="a hat", image=hat, stream=True, partial_images=previews) as edited:
                shown(edited, ImageEditPartialImageEvent, ImageEditCompletedEvent, previews)

    await asyncio.to_thread(talk)


@pytest.mark.parametrize("previews", [0, 1])
async def test_streams_of_the_asynchronous_client(base: str, previews: int) -> None:
    async with asynchronous(base) as sdk:
        drawn = await sdk.images.generate(model=SHARED, prompt="a fox", stream=True, partial_images=previews)
        shown([event async for event in drawn], ImageGenPartialImageEvent, ImageGenCompletedEvent, previews)


async def test_a_stream_of_another_vendor_s_model(base: str) -> None:
    """Where the vendor streams nothing there is no preview, but the last event all the same."""
    async with asynchronous(base) as sdk:
        events = await sdk.images.generate(model="flux-dev", prompt="a fox", stream=True, partial_images=2)
        (last,) = [event async for event in events]
    assert isinstance(last, ImageGenCompletedEvent)
    assert look(base64.b64decode(last.b64_json)).width == 1024


def _event(kind: str, data: bytes, **more: object) -> tuple[str, dict[str, object]]:
    name = f"image_generation.{kind}"
    told = {"type": name, "b64_json": base64.b64encode(data).decode(), "size": "1024x1024"}
    return name, {**told, "created_at": 1, "quality": "low", "background": "opaque", "output_format": "png", **more}


async def test_a_stream_that_is_left_is_drawn_and_paid_once(base: str, door: Door, upstream: Upstream) -> None:
    go_on, before = asyncio.Event(), door.purse().balance
    upstream.queue.append(
        stream(_event("partial_image", PNG, partial_image_index=0), _event("completed", picture(1024)), pause=go_on)
    )
    async with asynchronous(base, LIVE) as sdk:
        events = await sdk.images.generate(model=SHARED, prompt="a fox", stream=True, partial_images=1)
        await anext(events)
        await events.close()
    go_on.set()
    await until(lambda: door.jobs()[0].state is JobState.SUCCEEDED)
    assert (len(upstream.seen), door.purse().balance) == (1, before - PRICE)


# -- error classes --


class Trouble(msgspec.Struct, frozen=True):
    raises: type[openai.APIStatusError]
    status: int
    code: str
    prompt: str = "a fox"
    model: str = SHARED
    size: str = "1024x1024"
    param: str | None = None


TROUBLES = {
    "size": Trouble(openai.BadRequestError, 400, "invalid_value", size="1000x1000", param="size"),
    "refused": Trouble(openai.BadRequestError, 400, "moderation_blocked", prompt="[refuse]"),
    "model": Trouble(openai.NotFoundError, 404, "model_not_found", model="gpt-image-9", param="model"),
    "throttled": Trouble(openai.RateLimitError, 429, "rate_limit_exceeded", prompt="[fault:429]"),
    "rejected": Trouble(openai.InternalServerError, 502, "upstream_rejected", prompt="[fault:401]"),
    "failed": Trouble(openai.InternalServerError, 502, "upstream_failed", prompt="[fault:500]"),
    "empty": Trouble(openai.InternalServerError, 502, "upstream_malformed", prompt="[fault:empty]"),
    "lost": Trouble(openai.InternalServerError, 504, "upstream_lost", prompt="[fault:reset]"),
}
troubles = pytest.mark.parametrize("trouble", TROUBLES.values(), ids=TROUBLES)


def check(error: openai.APIStatusError, trouble: Trouble) -> None:
    assert type(error) is trouble.raises
    assert (error.status_code, error.code, error.param) == (trouble.status, trouble.code, trouble.param)
    assert error.request_id and error.request_id == error.response.headers["x-request-id"]
    assert error.type and error.message


@troubles
async def test_errors_of_the_synchronous_client(base: str, trouble: Trouble) -> None:
    def generate() -> None:
        with synchronous(base) as sdk:
            sdk.images.generate(model=trouble.model, prompt=trouble.prompt, size=trouble.size)

    with pytest.raises(openai.APIStatusError) as caught:
        await asyncio.to_thread(generate)
    check(caught.value, trouble)


@troubles
async def test_errors_of_an_asynchronous_edit(base: str, trouble: Trouble) -> None:
    async with asynchronous(base) as sdk:
        with pytest.raises(openai.APIStatusError) as caught:
            await sdk.images.edit(model=trouble.model, prompt=trouble.prompt, size=trouble.size, image=("a.png", PNG))
    check(caught.value, trouble)


@troubles
async def test_errors_of_a_stream(base: str, trouble: Trouble) -> None:
    """Before its first event a stream fails like any other request."""
    async with asynchronous(base) as sdk:
        with pytest.raises(openai.APIStatusError) as caught:
            await sdk.images.generate(model=trouble.model, prompt=trouble.prompt, size=trouble.size, stream=True)
    check(caught.value, trouble)


async def test_a_wrong_key(base: str) -> None:
    async with asynchronous(base, "sk-other") as sdk:
        with pytest.raises(openai.AuthenticationError, match="Incorrect API key provided") as generating:
            await sdk.images.generate(model=SHARED, prompt="a fox")
        with pytest.raises(openai.AuthenticationError) as listing:
            await sdk.models.list()
    assert generating.value.code == listing.value.code == "invalid_api_key"


async def test_its_own_timeout(door: Door, upstream: Upstream) -> None:
    """The client gives up; the picture is drawn, paid once, and lies under its job."""
    go_on, before = asyncio.Event(), door.purse().balance
    upstream.always = when(go_on)

    def generate() -> None:
        with synchronous(f"{door.url}/openai/v1", LIVE, timeout=1) as sdk:
            sdk.images.generate(model=MODEL, prompt="a fox")

    with pytest.raises(openai.APITimeoutError):
        await asyncio.to_thread(generate)
    go_on.set()
    await until(lambda: door.jobs()[0].state is JobState.SUCCEEDED)
    assert (len(upstream.seen), door.purse().balance) == (1, before - PRICE)


# -- its automatic retries --


@pytest.mark.parametrize("streams", [False, True], ids=["whole", "stream"])
async def test_a_retry_joins_the_job(door: Door, upstream: Upstream, tmp_path: Path, streams: bool) -> None:
    """An edit whose file is read anew for every try, and a stream, are recognised like any request."""
    go_on, before = asyncio.Event(), door.purse().balance
    upstream.always = when(go_on)
    path = tmp_path / "a.png"
    path.write_bytes(PNG)

    def edit() -> bytes:
        with synchronous(f"{door.url}/openai/v1", LIVE, retries=4, timeout=0.4) as sdk, path.open("rb") as file:
            if not streams:
                return pictures(sdk.images.edit(model=MODEL, prompt="a slow hat", image=file))[0]
            with sdk.images.edit(model=MODEL, prompt="a slow hat", image=file, stream=True) as events:
                (last,) = events
                return base64.b64decode(last.b64_json)

    asking = asyncio.create_task(asyncio.to_thread(edit))
    await upstream.wait_for(1)
    await asyncio.sleep(0.5)
    go_on.set()
    assert look(await asking) == Media("image/png", 64, 64)
    assert (len(upstream.seen), door.purse().balance) == (1, before - PRICE)


@pytest.mark.parametrize("trouble", [page(502), say(500)], ids=["lost", "failed"])
async def test_what_may_have_been_billed_is_not_sent_again(base: str, upstream: Upstream, trouble: Behaviour) -> None:
    upstream.always = trouble

    def generate() -> None:
        with synchronous(base, LIVE, retries=3) as sdk:
            sdk.images.generate(model=MODEL, prompt="a fox")

    with pytest.raises(openai.InternalServerError):
        await asyncio.to_thread(generate)
    assert len(upstream.seen) == 1


async def test_the_books_are_straight(door: Door) -> None:
    await until(lambda: not door.house.gateway.running and not door.left_behind())
    assert door.purse().held == 0
