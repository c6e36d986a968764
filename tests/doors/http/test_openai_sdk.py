"""The official OpenAI SDK as a client: with a test key in the sandbox, with a live key at a scripted provider."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import openai
import pytest
import pytest_asyncio
from openai import AsyncOpenAI, DefaultAsyncHttpxClient, DefaultHttpxClient, OpenAI
from openai.types import ImageEditCompletedEvent, ImageEditPartialImageEvent, ImagesResponse

from pictura.core.media import Media
from pictura.store.keys import Project, make_project
from tests.doors.door import ADMIN, LIVE, MODEL, PRICE, SHARED, STUDIO, TEST, Door, data_url, look, until
from tests.upstream import Upstream, page, picture, say, stream, when

pytestmark = pytest.mark.asyncio(loop_scope="module")

PNG = picture()
MASK = picture(mode="RGBA")


def client(url: str, key: str = LIVE, retries: int = 0) -> AsyncOpenAI:
    http = DefaultAsyncHttpxClient(trust_env=False)
    return AsyncOpenAI(api_key=key, base_url=f"{url}/v1", max_retries=retries, http_client=http, timeout=20)


@pytest_asyncio.fixture(loop_scope="module")
async def test_sdk(door: Door) -> AsyncIterator[AsyncOpenAI]:
    async with client(door.url, TEST) as sdk:
        yield sdk


@pytest_asyncio.fixture(loop_scope="module")
async def sdk(door: Door) -> AsyncIterator[AsyncOpenAI]:
    async with client(door.url) as sdk:
        yield sdk


def pictures(answer: ImagesResponse) -> list[bytes]:
    return [base64.b64decode(image.b64_json or "", validate=True) for image in answer.data or []]


# -- a test key: the sandbox --


async def test_generate(test_sdk: AsyncOpenAI) -> None:
    answer = await test_sdk.images.generate(model=SHARED, prompt="a fox", size="1024x640", quality="low", n=2)
    first, second = pictures(answer)
    assert look(first) == look(second) == Media("image/png", 1024, 640)
    assert first != second
    assert (answer.size, answer.quality, answer.output_format) == ("1024x640", "low", "png")
    assert answer.usage and answer.usage.total_tokens == answer.usage.input_tokens + answer.usage.output_tokens
    assert answer.created > 1_700_000_000


async def test_generate_by_url(test_sdk: AsyncOpenAI, door: Door) -> None:
    answer = await test_sdk.images.generate(model=SHARED, prompt="a fox", response_format="url", output_format="webp")
    (image,) = answer.data or []
    assert image.url and image.b64_json is None
    file = await door.send("GET", image.url)
    assert file.headers["content-type"] == "image/webp"
    assert look(file.body) == Media("image/webp", 1024, 1024)


async def test_dall_e_gives_urls_unless_asked(test_sdk: AsyncOpenAI) -> None:
    answer = await test_sdk.images.generate(model="dall-e-3", prompt="a fox")
    (image,) = answer.data or []
    assert image.url and image.revised_prompt and "a fox" in image.revised_prompt
    answer = await test_sdk.images.generate(model="dall-e-3", prompt="a fox", response_format="b64_json")
    assert look(pictures(answer)[0]).width == 1024


async def test_edit_with_two_pictures_and_a_mask(test_sdk: AsyncOpenAI) -> None:
    answer = await test_sdk.images.edit(
        model=MODEL,
        prompt="make it night",
        image=[("a.png", PNG), ("b.jpg", picture(80, 80, "jpeg"))],
        mask=("mask.png", MASK),
        input_fidelity="high",
        size="1536x1024",
    )
    assert look(pictures(answer)[0]) == Media("image/png", 1536, 1024)


async def test_a_stream_with_partial_images(test_sdk: AsyncOpenAI) -> None:
    events = await test_sdk.images.generate(
        model=SHARED, prompt="a fox", stream=True, partial_images=2, size="1024x1024"
    )
    *partials, last = [event async for event in events]
    assert [event.type for event in partials] == ["image_generation.partial_image"] * 2
    assert [event.partial_image_index for event in partials if event.type == "image_generation.partial_image"] == [0, 1]
    assert last.type == "image_generation.completed"
    assert look(base64.b64decode(last.b64_json)) == Media("image/png", 1024, 1024)
    assert (last.size, last.output_format) == ("1024x1024", "png")
    assert last.usage.output_tokens > 0


async def test_a_streamed_edit(test_sdk: AsyncOpenAI) -> None:
    events = await test_sdk.images.edit(
        model=SHARED, prompt="a hat", image=("a.png", PNG), stream=True, partial_images=1
    )
    first, last = [event async for event in events]
    assert isinstance(first, ImageEditPartialImageEvent)
    assert isinstance(last, ImageEditCompletedEvent)


async def test_a_stream_without_partial_images(test_sdk: AsyncOpenAI) -> None:
    events = await test_sdk.images.generate(model=SHARED, prompt="a fox", stream=True)
    (last,) = [event async for event in events]
    assert last.type == "image_generation.completed"


async def test_edit_in_json(test_sdk: AsyncOpenAI) -> None:
    body = {
        "model": SHARED,
        "prompt": "a hat",
        "images": [{"image_url": data_url(PNG)}, {"image_url": data_url(picture(32, 32))}],
        "mask": {"image_url": data_url(MASK)},
    }
    answer = await test_sdk.post("/images/edits", body=body, cast_to=ImagesResponse)
    assert look(pictures(answer)[0]).width == 1024


async def test_models(test_sdk: AsyncOpenAI, sdk: AsyncOpenAI) -> None:
    everything = {model.id: model async for model in test_sdk.models.list()}
    assert {SHARED, "test/test", "dall-e-3"} <= set(everything)
    assert everything[SHARED].owned_by == "openai"
    served = {model.id async for model in sdk.models.list()}
    assert {MODEL, SHARED} <= served
    assert "gpt-image-2.5-sunburst" not in served
    assert (await test_sdk.models.retrieve("test/test")).id == "test/test"
    with pytest.raises(openai.NotFoundError) as unknown:
        await test_sdk.models.retrieve("nobody/nothing")
    assert unknown.value.code == "model_not_found"


async def test_the_synchronous_client(door: Door) -> None:
    def talk() -> tuple[ImagesResponse, ImagesResponse, int]:
        http = DefaultHttpxClient(trust_env=False)
        with OpenAI(api_key=TEST, base_url=f"{door.url}/v1", max_retries=0, http_client=http) as sdk:
            drawn = sdk.images.generate(model=SHARED, prompt="a fox", size="1024x1024")
            edited = sdk.images.edit(model=SHARED, prompt="a hat", image=[("a.png", PNG), ("b.png", PNG)])
            with sdk.images.generate(model=SHARED, prompt="a fox", stream=True, partial_images=1) as events:
                return drawn, edited, len(list(events))

    drawn, edited, events = await asyncio.to_thread(talk)
    assert look(pictures(drawn)[0]) == look(pictures(edited)[0]) == Media("image/png", 1024, 1024)
    assert events == 2


# -- a live key: what a provider sees, and what it costs --


async def test_what_is_asked_for_reaches_the_provider(sdk: AsyncOpenAI, door: Door, upstream: Upstream) -> None:
    before = door.purse().balance
    answer = await sdk.images.generate(
        model=SHARED,
        prompt="一只狐狸 🦊",
        n=2,
        size="1024x640",
        quality="high",
        background="opaque",
        moderation="low",
        output_format="webp",
        output_compression=70,
        complexity="high",
        safety_identifier="user-1",
    )
    assert [look(data) for data in pictures(answer)] == [Media("image/webp", 1024, 640)] * 2
    (seen,) = upstream.seen
    assert seen.path == "/v1/images/generations"
    assert seen.fields == {
        "model": SHARED,
        "prompt": "一只狐狸 🦊",
        "n": 2,
        "size": "1024x640",
        "quality": "high",
        "background": "opaque",
        "moderation": "low",
        "output_format": "webp",
        "output_compression": 70,
        "complexity": "high",
        "safety_identifier": "user-1",
    }
    assert door.purse().balance == before - 2 * PRICE


async def test_an_edit_reaches_the_provider(sdk: AsyncOpenAI, upstream: Upstream) -> None:
    second = picture(80, 80, "jpeg")
    answer = await sdk.images.edit(
        model=MODEL, prompt="make it night", image=[("a.png", PNG), ("b.jpg", second)], mask=("m.png", MASK)
    )
    assert len(pictures(answer)) == 1
    (seen,) = upstream.seen
    assert seen.path == "/v1/images/edits"
    assert seen.files == [("image[]", PNG), ("image[]", second), ("mask", MASK)]
    assert seen.fields == {"model": MODEL, "prompt": "make it night", "n": "1"}


async def test_an_edit_in_json_reaches_the_provider(sdk: AsyncOpenAI, upstream: Upstream) -> None:
    body = {"model": SHARED, "prompt": "a hat", "images": [{"image_url": data_url(PNG)}]}
    await sdk.post("/images/edits", body=body, cast_to=ImagesResponse)
    assert upstream.seen[0].files == [("image", PNG)]


def _event(kind: str, data: bytes, **more: object) -> tuple[str, dict[str, object]]:
    name = f"image_generation.{kind}"
    told = {"type": name, "b64_json": base64.b64encode(data).decode(), "size": "1024x1024"}
    return name, {**told, "created_at": 1, "quality": "low", "background": "opaque", "output_format": "png", **more}


async def test_previews_come_while_the_provider_still_draws(sdk: AsyncOpenAI, door: Door, upstream: Upstream) -> None:
    go_on = asyncio.Event()
    preview, whole = picture(256, 256), picture(1024, 1024)
    upstream.queue.append(
        stream(_event("partial_image", preview, partial_image_index=0), _event("completed", whole), pause=go_on)
    )
    events = await sdk.images.generate(model=SHARED, prompt="a fox", stream=True, partial_images=1, size="1024x1024")
    shown = await anext(events)
    assert base64.b64decode(shown.b64_json) == preview
    assert door.purse().held == PRICE
    go_on.set()
    last = await anext(events)
    assert base64.b64decode(last.b64_json) == whole
    assert [event async for event in events] == []
    assert upstream.seen[0].fields["partial_images"] == 1
    assert door.purse().held == 0


async def test_a_stream_that_breaks_is_an_error_in_the_stream(sdk: AsyncOpenAI, upstream: Upstream) -> None:
    upstream.queue.append(stream(_event("partial_image", PNG, partial_image_index=0)))
    events = await sdk.images.generate(model=SHARED, prompt="a fox", stream=True, partial_images=1)
    assert (await anext(events)).type == "image_generation.partial_image"
    with pytest.raises(openai.APIError, match="may have been billed"):
        await anext(events)
    assert len(upstream.seen) == 1


async def test_a_provider_that_refuses_a_stream_is_an_ordinary_error(sdk: AsyncOpenAI, upstream: Upstream) -> None:
    upstream.queue.append(say(400, code="moderation_blocked"))
    with pytest.raises(openai.BadRequestError) as refused:
        await sdk.images.generate(model=SHARED, prompt="a fox", stream=True, partial_images=1)
    assert refused.value.code == "moderation_blocked"


# -- errors are its own classes --


async def test_errors_are_the_sdk_s_own(sdk: AsyncOpenAI, door: Door, upstream: Upstream) -> None:
    with pytest.raises(openai.AuthenticationError) as unknown_key:
        await sdk.with_options(api_key="sk-other").images.generate(model=SHARED, prompt="a fox")
    assert unknown_key.value.code == "invalid_api_key"
    with pytest.raises(openai.NotFoundError) as unknown:
        await sdk.images.generate(model="gpt-image-9", prompt="a fox")
    assert (unknown.value.code, unknown.value.param) == ("model_not_found", "model")
    with pytest.raises(openai.BadRequestError) as wrong:
        await sdk.images.generate(model=MODEL, prompt="a fox", size="512x512")
    assert (wrong.value.code, wrong.value.param) == ("invalid_value", "size")
    assert wrong.value.request_id and wrong.value.request_id == wrong.value.response.headers["x-request-id"]
    await door.new_key("sk-pic-sdk-limited", models=(MODEL,))
    with pytest.raises(openai.PermissionDeniedError):
        await sdk.with_options(api_key="sk-pic-sdk-limited").images.generate(model=SHARED, prompt="a fox")
    assert not upstream.seen


async def test_errors_of_the_provider(sdk: AsyncOpenAI, upstream: Upstream) -> None:
    upstream.always = say(429, headers={"Retry-After": "3"})
    with pytest.raises(openai.RateLimitError) as limited:
        await sdk.images.generate(model=MODEL, prompt="a fox")
    assert limited.value.response.headers["retry-after"] == "3"
    upstream.always = say(500)
    with pytest.raises(openai.InternalServerError) as failed:
        await sdk.images.generate(model=SHARED, prompt="a fox")
    assert failed.value.status_code == 502


async def test_an_empty_account_is_a_rate_limit_that_is_not_retried(door: Door) -> None:
    await make_project(door.house.database, Project("empty", "Empty", prepaid=True))
    await door.new_key("sk-pic-sdk-empty", project=Project("empty", "Empty", prepaid=True))
    async with client(door.url, "sk-pic-sdk-empty", retries=3) as sdk:
        with pytest.raises(openai.RateLimitError) as empty:
            await sdk.images.generate(model=MODEL, prompt="a fox")
    assert empty.value.code == "insufficient_quota"
    assert empty.value.response.request.headers["x-stainless-retry-count"] == "0"


# -- its automatic retries --


class Wire:
    """A line to the gateway that is cut once: the first connection, when the test says so."""

    def __init__(self, target: int) -> None:
        self.cut = asyncio.Event()
        self.connections = 0
        self.port = 0
        self._target = target
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def connect(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        near, far = await asyncio.open_connection("127.0.0.1", self._target)
        ways = [asyncio.create_task(_carry(*ends)) for ends in ((reader, far), (near, writer))]
        ways += [asyncio.create_task(self._wait_for_the_cut())] if self.connections == 1 else []
        self._tasks.update(ways)
        await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        for way in ways:
            way.cancel()
        for end in (writer, far):
            end.close()
            with suppress(OSError):
                await end.wait_closed()

    async def _wait_for_the_cut(self) -> None:
        await self.cut.wait()

    async def close(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)


async def _carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()


@asynccontextmanager
async def wired(door: Door) -> AsyncIterator[Wire]:
    wire = Wire(door.port)
    server = await asyncio.start_server(wire.connect, "127.0.0.1", 0)
    wire.port = server.sockets[0].getsockname()[1]
    try:
        yield wire
    finally:
        server.close()
        await wire.close()
        await server.wait_closed()


async def test_a_retry_after_a_dropped_connection_joins_the_job(door: Door, upstream: Upstream) -> None:
    go_on, before = asyncio.Event(), door.purse().balance
    upstream.always = when(go_on)
    async with wired(door) as wire, client(wire.url, retries=2) as sdk:
        asking = asyncio.create_task(sdk.images.generate(model=MODEL, prompt="a fox that is drawn once"))
        await upstream.wait_for(1)
        wire.cut.set()
        await until(lambda: wire.connections == 2)
        go_on.set()
        answer = await asking
    assert look(pictures(answer)[0]) == Media("image/png", 64, 64)
    assert len(upstream.seen) == 1
    assert door.purse().balance == before - PRICE


async def test_a_retry_after_the_job_has_ended_gets_its_picture(door: Door, upstream: Upstream) -> None:
    """The answer was on its way when the line was cut."""
    go_on, before = asyncio.Event(), door.purse().balance
    upstream.always = when(go_on)
    async with wired(door) as wire, client(wire.url, retries=2) as sdk:
        asking = asyncio.create_task(
            sdk.images.edit(model=MODEL, prompt="a hat that is drawn once", image=("a.png", PNG))
        )
        await upstream.wait_for(1)
        wire.cut.set()
        go_on.set()
        answer = await asking
        assert wire.connections == 2
    assert look(pictures(answer)[0]) == Media("image/png", 64, 64)
    assert len(upstream.seen) == 1
    assert door.purse().balance == before - PRICE


async def test_a_retry_after_the_client_s_own_timeout_joins_the_job(door: Door, upstream: Upstream) -> None:
    go_on = asyncio.Event()
    upstream.always = when(go_on)
    async with client(door.url, retries=3) as sdk:
        asking = asyncio.create_task(
            sdk.with_options(timeout=0.4).images.generate(model=SHARED, prompt="a slow fox", size="1024x1024")
        )
        await upstream.wait_for(1)
        await asyncio.sleep(0.45)
        go_on.set()
        answer = await asking
    assert len(pictures(answer)) == 1
    assert len(upstream.seen) == 1


async def test_a_retry_of_what_may_have_been_billed_is_told_so_again(door: Door, upstream: Upstream) -> None:
    """A client that retries although it was told not to does not make the provider draw twice."""
    upstream.always = page(502)
    fields = {"model": MODEL, "prompt": "a lost fox"}
    first = await door.ask(fields)
    again = await door.ask(fields, headers={"x-stainless-retry-count": "1"})
    assert (first.status, again.status) == (504, 504)
    assert again.headers["x-pictura-job"] == first.headers["x-pictura-job"]
    assert again.headers["x-should-retry"] == "false"
    assert len(upstream.seen) == 1


async def test_only_a_retry_joins(door: Door, upstream: Upstream) -> None:
    """The same request sent anew is a new job; so is a retry of another request, or of another project's."""
    fields = {"model": MODEL, "prompt": "two foxes"}
    first, second = await door.ask(fields), await door.ask(fields)
    retry = {"x-stainless-retry-count": "1"}
    other = await door.ask({**fields, "quality": "low"}, headers=retry)
    foreign = await door.ask(fields, key=ADMIN, headers=retry)
    joined = await door.ask(fields, headers=retry)
    jobs = [answer.headers["x-pictura-job"] for answer in (first, second, other, foreign)]
    assert len(set(jobs)) == 4
    assert joined.headers["x-pictura-job"] == jobs[1]
    assert len(upstream.seen) == 4


async def test_what_may_have_been_billed_is_not_retried(door: Door, upstream: Upstream) -> None:
    upstream.always = page(502)
    async with client(door.url, retries=3) as sdk:
        with pytest.raises(openai.InternalServerError) as lost:
            await sdk.images.generate(model=MODEL, prompt="a fox")
    assert lost.value.status_code == 504
    assert lost.value.response.headers["x-should-retry"] == "false"
    assert lost.value.response.request.headers["x-stainless-retry-count"] == "0"
    assert len(upstream.seen) == 1


async def test_what_was_certainly_not_billed_is_retried(door: Door, upstream: Upstream) -> None:
    """As the provider asked: after its Retry-After, as a new job."""
    upstream.queue.append(say(429, headers={"retry-after-ms": "500"}))
    async with client(door.url, retries=2) as sdk:
        answer = await sdk.images.generate(model=MODEL, prompt="a fox")
    assert len(pictures(answer)) == 1
    assert len(upstream.seen) == 2


async def test_the_books_are_straight(door: Door) -> None:
    await until(lambda: not door.house.gateway.running and not door.left_behind())
    assert door.purse().held == 0
    assert door.purse().balance == sum(entry.amount for entry in door.entries(STUDIO))
