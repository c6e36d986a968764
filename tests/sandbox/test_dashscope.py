from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from functools import partial
from typing import Any

import dashscope
import pytest
from aiohttp import ClientSession
from dashscope.aigc.image_generation import ImageGeneration
from dashscope.api_entities.http_request import close_shared_sync_session
from dashscope.v2 import errors

from pictura.core.media import Media
from pictura.sandbox.dashscope import AT_ONCE, BY_TASK, IMAGE_TO_IMAGE, TEXT_TO_IMAGE
from pictura.sandbox.server import Sandbox
from tests.sandbox.conftest import KEY, data_url, look

ASYNC = {"X-DashScope-Async": "enable"}

MakePicture = Callable[..., bytes]
#: Calls a function of the official SDK, which blocks, with the key.
Call = Callable[..., Any]


@pytest.fixture
async def call(address: str, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Call]:
    """The official SDK's functions of version 1, pointed at the sandbox and nowhere else."""
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setattr(dashscope, "base_http_api_url", f"{address}/dashscope/api/v1")

    async def call(function: Callable[..., Any], *args: object, **fields: object) -> Any:
        return await asyncio.to_thread(partial(function, *args, **{"api_key": KEY, **fields}))

    yield call
    close_shared_sync_session()


@pytest.fixture
def connect(address: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], dashscope.Client]]:
    """The official SDK's client of version 2."""
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    clients: list[dashscope.Client] = []

    def connect(key: str) -> dashscope.Client:
        clients.append(dashscope.Client(api_key=key, base_url=f"{address}/dashscope/api/v1", max_retries=0))
        return clients[-1]

    yield connect
    for client in clients:
        client.close()


async def fetch(http: ClientSession, url: str) -> Media:
    async with http.get(url) as answer:
        assert answer.status == 200
        return look(await answer.read())


def messages(*content: Mapping[str, str]) -> list[dict[str, object]]:
    return [{"role": "user", "content": [dict(part) for part in content]}]


FOX = {"text": "a fox"}

# -- the official SDK --


async def test_at_once(call: Call, http: ClientSession) -> None:
    answer = await call(
        dashscope.MultiModalConversation.call,
        model="qwen-image-max",
        messages=messages(FOX),
        result_format="message",
        stream=False,
        negative_prompt="blurry",
        prompt_extend=True,
        watermark=False,
        size="1328*1328",
    )
    assert answer.status_code == 200
    assert answer.request_id
    (choice,) = answer.output.choices
    assert (choice.finish_reason, choice.message.role) == ("stop", "assistant")
    assert await fetch(http, choice.message.content[0]["image"]) == Media("image/png", 1328, 1328)
    assert (answer.usage["image_count"], answer.usage["width"], answer.usage["height"]) == (1, 1328, 1328)


async def test_an_edit_at_once(call: Call, http: ClientSession, picture: MakePicture) -> None:
    answer = await call(
        dashscope.MultiModalConversation.call,
        model="qwen-image-edit-plus",
        messages=messages(
            {"image": data_url(picture(64, 64))},
            {"image": data_url(picture(96, 48, "jpeg", "RGB"), "jpeg")},
            {"text": "the hat of image 1 on image 2"},
        ),
        n=2,
    )
    content = answer.output.choices[0].message.content
    assert len({part["image"] for part in content}) == 2
    assert await fetch(http, content[1]["image"]) == Media("image/png", 1456, 720)
    assert answer.usage["image_count"] == 2


async def test_a_task_is_fetched_until_it_is_done(call: Call, http: ClientSession) -> None:
    task = await call(dashscope.ImageSynthesis.async_call, model="qwen-image-plus", prompt="a fox", size="928*1664")
    assert (task.status_code, task.output.task_status, task.output.results) == (200, "PENDING", [])
    answer = await call(dashscope.ImageSynthesis.wait, task)
    assert answer.output.task_status == "SUCCEEDED"
    (result,) = answer.output.results
    assert result.orig_prompt == "a fox" and "a fox" in result.actual_prompt
    assert await fetch(http, result.url) == Media("image/png", 928, 1664)
    assert answer.usage.image_count == 1
    again = await call(dashscope.ImageSynthesis.fetch, task.output.task_id)
    assert again.output.task_metrics == {"TOTAL": 1, "SUCCEEDED": 1, "FAILED": 0}


async def test_an_older_model_draws_four_pictures(call: Call) -> None:
    answer = await call(
        dashscope.ImageSynthesis.call, "wan2.2-t2i-flash", "a fox", negative_prompt="red", prompt_extend=False, seed=7
    )
    assert len({result.url for result in answer.output.results}) == 4
    assert "actual_prompt" not in answer.output.results[0]


async def test_an_edit_by_task(call: Call, http: ClientSession, picture: MakePicture) -> None:
    images = [data_url(picture(400, 400, "png", "RGB"))]
    answer = await call(
        dashscope.ImageSynthesis.call, "wan2.5-i2i-preview", "a hat", images=images, n=1, size="1280*720"
    )
    assert await fetch(http, answer.output.results[0].url) == Media("image/png", 1280, 720)


async def test_the_newer_protocol_at_once_and_by_task(call: Call, http: ClientSession, picture: MakePicture) -> None:
    answer = await call(
        ImageGeneration.call, "wan2.6-t2i", messages=messages(FOX), n=2, size="1696*960", watermark=True
    )
    assert len(answer.output.choices) == 2 and answer.output.finished
    assert (answer.usage["image_count"], answer.usage["size"]) == (2, "1696*960")
    shown = messages({"text": "a hat"}, {"image": data_url(picture(400, 300, "png", "RGB"))})
    task = await call(ImageGeneration.async_call, "wan2.7-image", messages=shown, size="1K")
    assert (task.status_code, task.output.task_status) == (200, "PENDING")
    done = await call(ImageGeneration.wait, task)
    assert done.output.task_status == "SUCCEEDED"
    assert done.output.end_time > done.output.scheduled_time > done.output.submit_time
    url = done.output.choices[0].message.content[0]["image"]
    assert await fetch(http, url) == Media("image/png", 1184, 880)


async def test_texts_between_pictures(call: Call) -> None:
    task = await call(
        ImageGeneration.async_call, "wan2.6-image", messages=messages(FOX), enable_interleave=True, max_images=2
    )
    done = await call(ImageGeneration.wait, task)
    (choice,) = done.output.choices
    assert [part["type"] for part in choice.message.content] == ["text", "image", "text", "image"]
    assert done.usage["image_count"] == 2


async def test_a_task_is_cancelled_as_long_as_it_waits(call: Call) -> None:
    task = await call(ImageGeneration.async_call, "wan2.6-t2i", messages=messages({"text": "a fox [fault:long 600]"}))
    assert (await call(ImageGeneration.cancel, task)).status_code == 200
    assert (await call(ImageGeneration.fetch, task)).output.task_status == "CANCELED"
    again = await call(ImageGeneration.cancel, task)
    assert (again.status_code, again.code) == (400, "UnsupportedOperation")


async def test_the_client_of_version_2(connect: Callable[[str], dashscope.Client], http: ClientSession) -> None:
    images = connect(KEY).images
    job = await asyncio.to_thread(images.generate, model="wan2.6-t2i", prompt="a fox", size="1280x1280", n=1)
    assert job.succeeded
    assert await fetch(http, job.result_url) == Media("image/png", 1280, 1280)
    job = await asyncio.to_thread(images.generate, model="qwen-image-plus", prompt="a fox", poll_interval=0.05)
    assert await fetch(http, job.result_url) == Media("image/png", 1664, 928)
    assert job.submitted_at and job.finished_at


@pytest.mark.parametrize(
    ("prompt", "kind", "code"),
    [
        ("[refuse]", errors.ContentFilterError, "DataInspectionFailed"),
        ("[refuse late]", errors.ContentFilterError, "DataInspectionFailed"),
        ("[fault:401]", errors.AuthenticationError, "InvalidApiKey"),
        ("[fault:402]", errors.PermissionDeniedError, "Arrearage"),
        ("[fault:429]", errors.RateLimitError, "Throttling.RateQuota"),
        ("[fault:500]", errors.InternalServerError, "InternalError"),
        ("[fault:reset]", errors.APIConnectionError, None),
    ],
)
@pytest.mark.parametrize("model", ["wan2.6-t2i", "qwen-image-plus"], ids=["at once", "by task"])
async def test_errors_are_the_sdks_own(
    model: str,
    prompt: str,
    kind: type[errors.DashScopeError],
    code: str | None,
    connect: Callable[[str], dashscope.Client],
) -> None:
    generate = partial(connect(KEY).images.generate, model=model, prompt=prompt, n=1, poll_interval=0.05)
    with pytest.raises(kind) as caught:
        await asyncio.to_thread(generate)
    assert caught.value.code == code
    if code == "Throttling.RateQuota":
        assert caught.value.headers["retry-after"] == "2"


async def test_a_task_that_fails(call: Call) -> None:
    task = await call(ImageGeneration.async_call, "wan2.6-t2i", messages=messages({"text": "[fault:failed]"}))
    done = await call(ImageGeneration.wait, task)
    assert (done.status_code, done.output.task_status, done.output.code) == (200, "FAILED", "InternalError.Algo")


async def test_strangers_and_strange_models(connect: Callable[[str], dashscope.Client]) -> None:
    with pytest.raises(errors.AuthenticationError) as wrong:
        await asyncio.to_thread(connect("sk-other").images.generate, model="wan2.6-t2i", prompt="a fox")
    assert "sk-other" not in str(wrong.value)
    with pytest.raises(errors.NotFoundError):
        await asyncio.to_thread(connect(KEY).images.generate, model="wan9", prompt="a fox")


# -- tasks --


async def poll(http: ClientSession, base: str, id: str) -> dict[str, Any]:
    while True:
        async with http.get(f"{base}/tasks/{id}") as answer:
            assert answer.status == 200
            document: dict[str, Any] = await answer.json()
        if document["output"]["task_status"] not in ("PENDING", "RUNNING"):
            return document
        await asyncio.sleep(0.02)


async def submit(http: ClientSession, base: str, service: str, body: object) -> str:
    async with http.post(f"{base}/services/aigc/{service}", json=body, headers=ASYNC) as answer:
        document = await answer.json()
    assert answer.status == 200, document
    return str(document["output"]["task_id"])


async def test_a_task_outlives_its_sandbox(http: ClientSession, picture: MakePicture) -> None:
    first, second = Sandbox(accepts=lambda key: key == KEY), Sandbox(accepts=lambda key: key == KEY)
    body = {
        "model": "wan2.7-image",
        "input": {"messages": messages({"image": data_url(picture(300, 300, "png", "RGB"))}, FOX)},
        "parameters": {"size": "1K", "n": 2},
    }
    try:
        id = await submit(http, f"{await first.start()}/dashscope/api/v1", BY_TASK, body)
    finally:
        await first.close()
    try:
        done = await poll(http, f"{await second.start()}/dashscope/api/v1", id)
        urls = [choice["message"]["content"][0]["image"] for choice in done["output"]["choices"]]
        assert [await fetch(http, url) for url in urls] == [Media("image/png", 1024, 1024)] * 2
    finally:
        await second.close()


async def test_a_task_that_nobody_knows(address: str, http: ClientSession) -> None:
    base = f"{address}/dashscope/api/v1"
    document = await poll(http, base, "86ecf553-d340-4e21-af6e-a0c6a421c010")
    assert document["output"]["task_status"] == "UNKNOWN"
    async with http.post(f"{base}/tasks/86ecf553/cancel") as answer:
        assert (answer.status, (await answer.json())["code"]) == (400, "UnsupportedOperation")


async def test_a_task_without_pictures(address: str, http: ClientSession) -> None:
    base = f"{address}/dashscope/api/v1"
    body = {"model": "qwen-image-plus", "input": {"prompt": "[fault:empty]"}}
    document = await poll(http, base, await submit(http, base, TEXT_TO_IMAGE, body))
    assert (document["output"]["task_status"], document["output"]["results"]) == ("SUCCEEDED", [])


# -- strictness --

#: What a call says, and what it gets instead of a picture. Where `service` answers by task, the task fails.
REFUSED: list[tuple[str, str, dict[str, object], dict[str, object]]] = [
    (AT_ONCE, "qwen-image-max", {}, {"size": "1328x1328"}),
    (AT_ONCE, "qwen-image-max", {}, {"size": "2K"}),
    (AT_ONCE, "qwen-image-max", {}, {"size": "4096*4096"}),
    (AT_ONCE, "qwen-image-max", {}, {"n": 2}),
    (AT_ONCE, "qwen-image-max", {}, {"n": "1"}),
    (AT_ONCE, "qwen-image-max", {}, {"seed": -1}),
    (AT_ONCE, "qwen-image-max", {}, {"seed": 2**31}),
    (AT_ONCE, "qwen-image-max", {}, {"prompt_extend": "yes"}),
    (AT_ONCE, "qwen-image-max", {}, {"quality": "high"}),
    (AT_ONCE, "qwen-image-max", {}, {"stream": True}),
    (AT_ONCE, "qwen-image-max", {"negative_prompt": "red"}, {}),
    (AT_ONCE, "qwen-image-max", {"messages": []}, {}),
    (AT_ONCE, "qwen-image-max", {"messages": None}, {}),
    (AT_ONCE, "qwen-image-max", {"messages": messages(FOX) * 2}, {}),
    (AT_ONCE, "qwen-image-max", {"messages": [{"role": "system", "content": [FOX]}]}, {}),
    (AT_ONCE, "qwen-image-max", {"messages": messages(FOX, FOX)}, {}),
    (AT_ONCE, "qwen-image-max", {"messages": messages({"text": " "})}, {}),
    (AT_ONCE, "qwen-image-max", {"messages": messages({"video": "x"})}, {}),
    (AT_ONCE, "qwen-image-max", {"messages": messages(FOX, {"image": "https://example.com/1.png"})}, {}),
    (AT_ONCE, "qwen-image-2.0", {}, {"n": 7}),
    (AT_ONCE, "qwen-image-2.0", {}, {"size": "256*256"}),
    (AT_ONCE, "qwen-image-2.0", {}, {"enable_thinking": True}),
    (AT_ONCE, "qwen-image-2.0", {"messages": messages(FOX, {"image": "oss://dashscope/1.png"})}, {}),
    (AT_ONCE, "qwen-image-2.0", {"messages": messages(FOX, {"image": "data:image/png;base64,AAAA"})}, {}),
    (AT_ONCE, "qwen-image-3.0", {}, {"size": "4096*500"}),
    (AT_ONCE, "qwen-image-3.0", {}, {"prompt_extend_mode": "best"}),
    (AT_ONCE, "qwen-image-edit-plus", {}, {}),
    (AT_ONCE, "wan2.6-image", {}, {"enable_interleave": True}),
    (BY_TASK, "wan2.6-t2i", {}, {"size": "1024*1024"}),
    (BY_TASK, "wan2.6-t2i", {}, {"n": 5}),
    (BY_TASK, "wan2.6-image", {}, {}),
    (BY_TASK, "wan2.6-image", {}, {"enable_interleave": True, "n": 2}),
    (BY_TASK, "wan2.6-image", {}, {"enable_interleave": True, "max_images": 6}),
    (BY_TASK, "wan2.7-image", {}, {"size": "4K"}),
    (BY_TASK, "wan2.7-image", {}, {"negative_prompt": "red"}),
    (BY_TASK, "wan2.7-image", {}, {"prompt_extend": True}),
    (BY_TASK, "wan2.7-image", {}, {"color_palette": [{"hex": "#ffffff", "ratio": "100.00%"}]}),
    (BY_TASK, "wan2.7-image-pro", {}, {"size": "4K", "enable_sequential": True}),
    (BY_TASK, "wan2.7-image-pro", {}, {"enable_sequential": True, "n": 13}),
    (TEXT_TO_IMAGE, "qwen-image-plus", {"prompt": ""}, {}),
    (TEXT_TO_IMAGE, "qwen-image-plus", {"messages": messages(FOX)}, {}),
    (TEXT_TO_IMAGE, "qwen-image-plus", {}, {"negative_prompt": "red"}),
    (TEXT_TO_IMAGE, "qwen-image-plus", {}, {"size": "1024*1024"}),
    (TEXT_TO_IMAGE, "wan2.2-t2i-plus", {}, {"size": "1441*1024"}),
    (TEXT_TO_IMAGE, "wan2.5-t2i-preview", {}, {"size": "768*3100"}),
    (IMAGE_TO_IMAGE, "wan2.5-i2i-preview", {}, {}),
]


@pytest.mark.parametrize(("service", "model", "content", "parameters"), REFUSED, ids=lambda value: str(value)[:70])
async def test_refused(
    service: str,
    model: str,
    content: dict[str, object],
    parameters: dict[str, object],
    address: str,
    http: ClientSession,
) -> None:
    base = f"{address}/dashscope/api/v1"
    usual = {"messages": messages(FOX)} if service in (AT_ONCE, BY_TASK) else {"prompt": "a fox"}
    body = {"model": model, "input": {**usual, **content}, "parameters": parameters}
    if service == AT_ONCE:
        async with http.post(f"{base}/services/aigc/{service}", json=body) as answer:
            told = await answer.json()
            assert answer.status == 400, told
    else:
        told = (await poll(http, base, await submit(http, base, service, body)))["output"]
        assert told["task_status"] == "FAILED"
    assert told["code"] == "InvalidParameter" and told["message"]


@pytest.mark.parametrize(
    ("model", "shown"),
    [
        ("wan2.7-image", ("png", "RGBA", 300, 300)),
        ("wan2.7-image", ("png", "RGB", 239, 300)),
        ("wan2.7-image", ("png", "RGB", 300, 8001)),
        ("wan2.7-image", ("png", "RGB", 1921, 240)),
        ("wan2.6-image", ("png", "RGB", 240, 8001)),
        ("wan2.7-image", ("gif", "P", 300, 300)),
        ("qwen-image-2.0", ("png", "RGB", 300, 5)),
    ],
)
async def test_pictures_it_does_not_take(
    model: str, shown: tuple[str, str, int, int], address: str, http: ClientSession, picture: MakePicture
) -> None:
    format, mode, width, height = shown
    image = data_url(picture(width, height, format, mode), format)
    body = {"model": model, "input": {"messages": messages({"image": image}, FOX)}}
    async with http.post(f"{address}/dashscope/api/v1/services/aigc/{AT_ONCE}", json=body) as answer:
        assert (answer.status, (await answer.json())["code"]) == (400, "InvalidParameter")


@pytest.mark.parametrize(("model", "height"), [("wan2.7-image", 1920), ("wan2.6-image", 8000)])
async def test_the_longest_picture_it_takes(
    model: str, height: int, address: str, http: ClientSession, picture: MakePicture
) -> None:
    shown = messages({"image": data_url(picture(240, height, "png", "RGB"))}, FOX)
    body = {"model": model, "input": {"messages": shown}, "parameters": {"size": "1024*1024", "n": 1}}
    async with http.post(f"{address}/dashscope/api/v1/services/aigc/{AT_ONCE}", json=body) as answer:
        assert answer.status == 200, await answer.text()


@pytest.mark.parametrize(
    ("model", "shown", "size", "expected"),
    [
        ("qwen-image-plus", False, None, (1664, 928)),
        ("qwen-image-max", False, "1024*768", (1024, 768)),
        ("qwen-image-2.0", False, "1033*1032", (1040, 1024)),
        ("qwen-image-2.0-pro", True, None, (1456, 720)),
        ("qwen-image-3.0", False, None, (1024, 1024)),
        ("qwen-image-3.0-pro", True, "1800*600", (1800, 600)),
        ("qwen-image-edit", True, None, (1456, 720)),
        ("wan2.6-image", True, None, (1808, 912)),
        ("wan2.7-image", False, "1K", (1024, 1024)),
        ("wan2.7-image-pro", True, "1K", (1456, 720)),
    ],
)
async def test_sizes(
    model: str,
    shown: bool,
    size: str | None,
    expected: tuple[int, int],
    address: str,
    http: ClientSession,
    picture: MakePicture,
) -> None:
    images = [{"image": data_url(picture(600, 300, "png", "RGB"))}] if shown else []
    parameters = {"n": 1, **({"size": size} if size else {})}
    body = {"model": model, "input": {"messages": messages(*images, FOX)}, "parameters": parameters}
    async with http.post(f"{address}/dashscope/api/v1/services/aigc/{AT_ONCE}", json=body) as answer:
        document = await answer.json()
        assert answer.status == 200, document
    media = await fetch(http, document["output"]["choices"][0]["message"]["content"][0]["image"])
    assert (media.width, media.height) == expected


async def test_qwen_3_counts_in_its_own_way(address: str, http: ClientSession, picture: MakePicture) -> None:
    shown = messages({"image": data_url(picture(64, 64))}, FOX)
    body = {"model": "qwen-image-3.0", "input": {"messages": shown}, "parameters": {"size": "1600*1600"}}
    async with http.post(f"{address}/dashscope/api/v1/services/aigc/{AT_ONCE}", json=body) as answer:
        document = await answer.json()
    assert document["usage"] == {
        "output_width": 1600,
        "output_height": 1600,
        "output_image_count": 1,
        "output_image_type": "qima_output_2k",
        "input_image_count": 1,
        "input_image_type": "qima_input_2k",
    }
    assert document["output"]["rewrite_status"] == "success"


@pytest.mark.parametrize(
    ("path", "headers", "body", "status", "code"),
    [
        (f"services/aigc/{AT_ONCE}", ASYNC, {}, 403, "AccessDenied"),
        (f"services/aigc/{BY_TASK}", {}, {}, 403, "AccessDenied"),
        (f"services/aigc/{TEXT_TO_IMAGE}", {}, {}, 403, "AccessDenied"),
        (f"services/aigc/{AT_ONCE}", {"X-DashScope-SSE": "enable"}, {}, 400, "InvalidParameter"),
        (f"services/aigc/{AT_ONCE}", {}, {}, 400, "BadRequest.EmptyModel"),
        (f"services/aigc/{AT_ONCE}", {}, [], 400, "InvalidParameter"),
        (f"services/aigc/{AT_ONCE}", {}, {"model": "qwen-image-9"}, 404, "ModelNotFound"),
        (f"services/aigc/{AT_ONCE}", {}, {"model": "wan2.2-t2i-flash"}, 400, "InvalidParameter"),
        (f"services/aigc/{AT_ONCE}", {}, {"model": "qwen-image-max"}, 400, "InvalidParameter"),
        (f"services/aigc/{BY_TASK}", ASYNC, {"model": "qwen-image-2.0"}, 400, "InvalidParameter"),
        ("services/aigc/text-generation/generation", {}, {}, 404, "NotFound"),
        ("uploads", {}, {}, 404, "NotFound"),
        (f"services/aigc/{AT_ONCE}", {"Authorization": ""}, {}, 401, "InvalidApiKey"),
        (f"services/aigc/{AT_ONCE}", {"Authorization": "Bearer sk-wrong"}, {}, 401, "InvalidApiKey"),
    ],
)
async def test_keys_paths_and_headers(
    path: str, headers: dict[str, str], body: object, status: int, code: str, address: str, http: ClientSession
) -> None:
    async with http.post(f"{address}/dashscope/api/v1/{path}", json=body, headers=headers) as answer:
        document = await answer.json()
    assert (answer.status, document["code"]) == (status, code)
    assert document["request_id"] and "sk-wrong" not in document["message"]
