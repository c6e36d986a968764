from __future__ import annotations

import base64
import io
from collections.abc import AsyncIterator, Callable
from typing import Literal

import msgspec
import openai
import pytest
from aiohttp import ClientSession, FormData
from openai import AsyncOpenAI, DefaultAsyncHttpxClient
from openai.types import ImageEditCompletedEvent, ImageEditPartialImageEvent, ImagesResponse

from pictura.core.media import Media, flaw, sniff
from pictura.sandbox.openai import GPT_1, GPT_2, GPT_2_5, input_tokens, output_tokens

MODEL = "gpt-image-2"
SIZE: Literal["1024x1024"] = "1024x1024"

MakePicture = Callable[..., bytes]


class Wrong(msgspec.Struct):
    message: str
    type: str
    param: str | None
    code: str | None


class Failure(msgspec.Struct):
    error: Wrong


@pytest.fixture
async def sdk(address: str) -> AsyncIterator[AsyncOpenAI]:
    """The official client, pointed at the sandbox and nowhere else."""
    http = DefaultAsyncHttpxClient(trust_env=False)
    async with AsyncOpenAI(
        api_key="sk-test-sandbox", base_url=f"{address}/openai/v1", max_retries=0, http_client=http
    ) as client:
        yield client


def look(data: bytes) -> Media:
    def read(offset: int, size: int) -> bytes:
        return data[offset:][:size]

    media = sniff(read, len(data))
    assert flaw(read, len(data), media) == ""
    return media


def decode(text: str | None) -> bytes:
    assert text
    return base64.b64decode(text, validate=True)


def pictures(answer: ImagesResponse) -> list[bytes]:
    return [decode(image.b64_json) for image in answer.data or []]


def data_url(data: bytes) -> str:
    return f"data:image/png;base64,{base64.b64encode(data).decode()}"


async def refusal(
    http: ClientSession, url: str, *, json: object = None, data: FormData | bytes | None = None, status: int = 400
) -> Wrong:
    async with http.post(url, json=json, data=data) as answer:
        assert answer.status == status, await answer.text()
        assert answer.headers["x-request-id"].startswith("req_")
        return msgspec.json.decode(await answer.read(), type=Failure).error


# -- the official SDK --


async def test_generate(sdk: AsyncOpenAI) -> None:
    answer = await sdk.images.generate(model=MODEL, prompt="a fox", size="1024x640", quality="low", n=2)
    first, second = pictures(answer)
    assert look(first) == look(second) == Media("image/png", 1024, 640)
    assert first != second
    assert (answer.background, answer.output_format, answer.quality, answer.size) == (
        "opaque",
        "png",
        "low",
        "1024x640",
    )
    assert answer.usage and answer.usage.output_tokens == 2 * output_tokens(GPT_2, "low", 1024, 640)
    assert answer.usage.total_tokens == answer.usage.input_tokens + answer.usage.output_tokens
    assert answer.created > 1_700_000_000


async def test_the_same_request_gives_the_same_pictures(sdk: AsyncOpenAI) -> None:
    first = await sdk.images.generate(model="dall-e-2", prompt="a fox", size="256x256", response_format="b64_json")
    second = await sdk.images.generate(model="dall-e-2", prompt="a fox", size="256x256", response_format="b64_json")
    assert pictures(first) == pictures(second)


async def test_format_background_and_compression(sdk: AsyncOpenAI) -> None:
    answer = await sdk.images.generate(
        model=MODEL, prompt="a fox", background="transparent", output_format="webp", output_compression=40
    )
    (data,) = pictures(answer)
    assert look(data) == Media("image/webp", 1024, 1024, alpha=True)
    assert (answer.background, answer.output_format) == ("transparent", "webp")


async def test_edit_with_two_pictures_and_a_mask(sdk: AsyncOpenAI, picture: MakePicture) -> None:
    images = [("a.png", picture(64, 48)), ("b.jpg", picture(80, 80, "jpeg", "RGB"))]
    answer = await sdk.images.edit(
        model="gpt-image-1.5",
        prompt="make it night",
        image=images,
        mask=("mask.png", picture(64, 48)),
        input_fidelity="high",
        size="1536x1024",
        quality="medium",
    )
    (data,) = pictures(answer)
    assert look(data) == Media("image/png", 1536, 1024)
    assert answer.usage and answer.usage.output_tokens == 1568
    assert answer.usage.input_tokens_details.image_tokens > 2 * 4096
    without = await sdk.images.edit(model="gpt-image-1.5", prompt="make it night", image=images[:1], size="1536x1024")
    assert pictures(without) != [data]


async def test_edit_with_one_picture(sdk: AsyncOpenAI, picture: MakePicture) -> None:
    answer = await sdk.images.edit(model=MODEL, prompt="a hat", image=("a.webp", picture(64, 48, "webp")), n=2)
    assert len(pictures(answer)) == 2


async def test_a_stream_with_partial_images(sdk: AsyncOpenAI) -> None:
    stream = await sdk.images.generate(model=MODEL, prompt="a fox", stream=True, partial_images=2, size=SIZE)
    events = [event async for event in stream]
    assert [event.type for event in events] == [
        "image_generation.partial_image",
        "image_generation.partial_image",
        "image_generation.completed",
    ]
    assert len({event.b64_json for event in events}) == 3
    partials, last = events[:2], events[2]
    assert [event.partial_image_index for event in partials if event.type == "image_generation.partial_image"] == [0, 1]
    assert last.type == "image_generation.completed"
    assert last.usage.output_tokens == output_tokens(GPT_2, "high", 1024, 1024) + 200
    assert (last.size, last.quality, last.background, last.output_format) == (SIZE, "high", "opaque", "png")
    assert look(decode(last.b64_json)) == Media("image/png", 1024, 1024)
    (whole,) = pictures(await sdk.images.generate(model=MODEL, prompt="a fox", size=SIZE))
    assert decode(last.b64_json) == whole


async def test_a_streamed_edit(sdk: AsyncOpenAI, picture: MakePicture) -> None:
    stream = await sdk.images.edit(
        model=MODEL, prompt="a hat", image=("a.png", picture(64, 48)), stream=True, partial_images=1
    )
    first, last = [event async for event in stream]
    assert isinstance(first, ImageEditPartialImageEvent)
    assert isinstance(last, ImageEditCompletedEvent)
    assert last.usage.input_tokens_details.image_tokens > 0


async def test_dall_e_answers_with_urls(sdk: AsyncOpenAI, http: ClientSession) -> None:
    answer = await sdk.images.generate(model="dall-e-3", prompt="a fox", size="1792x1024", style="natural")
    (image,) = answer.data or []
    assert image.url and image.b64_json is None
    assert image.revised_prompt and "a fox" in image.revised_prompt
    assert answer.usage is None
    async with http.get(image.url) as file:
        assert file.content_type == "image/png"
        assert look(await file.read()) == Media("image/png", 1792, 1024)
    async with http.get(image.url + "x") as nothing:
        assert nothing.status == 404


async def test_errors_are_the_sdk_s_own(sdk: AsyncOpenAI) -> None:
    with pytest.raises(openai.BadRequestError) as refused:
        await sdk.images.generate(model=MODEL, prompt="a fox [refuse]")
    assert (refused.value.code, refused.value.type) == ("moderation_blocked", "image_generation_user_error")
    assert refused.value.request_id and refused.value.request_id in refused.value.message
    with pytest.raises(openai.RateLimitError) as limited:
        await sdk.images.generate(model=MODEL, prompt="a fox [fault:429]")
    assert limited.value.response.headers["retry-after"] == "2"
    with pytest.raises(openai.AuthenticationError):
        await sdk.with_options(api_key="sk-other").images.generate(model=MODEL, prompt="a fox")
    with pytest.raises(openai.NotFoundError) as unknown:
        await sdk.images.generate(model="gpt-image-9", prompt="a fox")
    assert unknown.value.code == "model_not_found"
    with pytest.raises(openai.InternalServerError):
        await sdk.images.generate(model=MODEL, prompt="a fox [fault:500]")
    with pytest.raises(openai.APIConnectionError):
        await sdk.images.generate(model=MODEL, prompt="a fox [fault:reset]")


async def test_a_refusal_while_streaming_is_an_ordinary_error(sdk: AsyncOpenAI) -> None:
    with pytest.raises(openai.BadRequestError):
        await sdk.images.generate(model=MODEL, prompt="[refuse]", stream=True)


# -- strictness --

G2 = {"model": "gpt-image-2"}
G25 = {"model": "gpt-image-2.5-flare"}
G1 = {"model": "gpt-image-1.5"}
D3 = {"model": "dall-e-3"}
D2 = {"model": "dall-e-2"}


@pytest.mark.parametrize(
    ("fields", "param", "code"),
    [
        ({}, "model", "missing_required_parameter"),
        ({"model": 3}, "model", "invalid_type"),
        ({**G2, "prompt": None}, "prompt", "missing_required_parameter"),
        ({**G2, "prompt": ""}, "prompt", "missing_required_parameter"),
        ({**G2, "prompt": ["a fox"]}, "prompt", "invalid_type"),
        ({**G2, "prompt": "狐" * 32_001}, "prompt", "string_above_max_length"),
        ({**D3, "prompt": "x" * 4_001}, "prompt", "string_above_max_length"),
        ({**D2, "prompt": "x" * 1_001}, "prompt", "string_above_max_length"),
        ({**G2, "n": 0}, "n", "integer_below_min_value"),
        ({**G2, "n": 11}, "n", "integer_above_max_value"),
        ({**G2, "n": "2"}, "n", "invalid_type"),
        ({**G2, "n": True}, "n", "invalid_type"),
        ({**G2, "n": 1.5}, "n", "invalid_type"),
        ({**D3, "n": 2}, "n", "integer_above_max_value"),
        ({**G2, "size": "1000x1000"}, "size", "invalid_value"),
        ({**G2, "size": "1024x624"}, "size", "invalid_value"),
        ({**G2, "size": "3856x1296"}, "size", "invalid_value"),
        ({**G2, "size": "3840x2176"}, "size", "invalid_value"),
        ({**G2, "size": "3840x1264"}, "size", "invalid_value"),
        ({**G2, "size": "0x0"}, "size", "invalid_value"),
        ({**G2, "size": "1024X1024"}, "size", "invalid_value"),
        ({**G2, "size": "2K"}, "size", "invalid_value"),
        ({**G1, "size": "1024x640"}, "size", "invalid_value"),
        ({**D3, "size": "512x512"}, "size", "invalid_value"),
        ({**D3, "size": "auto"}, "size", "invalid_value"),
        ({**D2, "size": "1792x1024"}, "size", "invalid_value"),
        ({**G2, "quality": "xhigh"}, "quality", "invalid_value"),
        ({**G25, "quality": "hd"}, "quality", "invalid_value"),
        ({**D3, "quality": "high"}, "quality", "invalid_value"),
        ({**D2, "quality": "hd"}, "quality", "invalid_value"),
        ({**G2, "background": "blue"}, "background", "invalid_value"),
        ({**G2, "background": "transparent", "output_format": "jpeg"}, "background", "invalid_value"),
        ({**G2, "output_format": "bmp"}, "output_format", "invalid_value"),
        ({**G2, "output_format": "gif"}, "output_format", "invalid_value"),
        ({**G2, "frame_count": 4}, "frame_count", "invalid_value"),
        ({**G2, "output_compression": 50}, "output_compression", "invalid_value"),
        ({**G2, "output_format": "webp", "output_compression": 101}, "output_compression", "integer_above_max_value"),
        ({**G2, "partial_images": 4, "stream": True}, "partial_images", "integer_above_max_value"),
        ({**G2, "stream": "true"}, "stream", "invalid_type"),
        ({**G2, "moderation": "high"}, "moderation", "invalid_value"),
        ({**G2, "response_format": "url"}, "response_format", "unknown_parameter"),
        ({**G2, "style": "vivid"}, "style", "unknown_parameter"),
        ({**G2, "seed": 7}, "seed", "unknown_parameter"),
        ({**G2, "input_fidelity": "low"}, "input_fidelity", "unknown_parameter"),
        ({**G1, "complexity": "low"}, "complexity", "unknown_parameter"),
        ({**D3, "style": "loud"}, "style", "invalid_value"),
        ({**D2, "style": "vivid"}, "style", "unknown_parameter"),
        ({**D3, "output_format": "png"}, "output_format", "unknown_parameter"),
        ({**D3, "background": "opaque"}, "background", "unknown_parameter"),
        ({**D3, "stream": True}, "stream", "unknown_parameter"),
        ({**D3, "response_format": "png"}, "response_format", "invalid_value"),
    ],
    ids=lambda value: str(value)[:60],
)
async def test_generations_refuse(
    address: str, http: ClientSession, fields: dict[str, object], param: str, code: str
) -> None:
    error = await refusal(http, f"{address}/openai/v1/images/generations", json={"prompt": "a fox", **fields})
    assert (error.type, error.param, error.code) == ("invalid_request_error", param, code)


@pytest.mark.parametrize(
    "fields",
    [
        {**G2, "size": "3840x2160", "quality": "auto", "background": "auto", "moderation": "low", "user": "u"},
        {**G2, "size": "1536x864", "n": None, "partial_images": 0, "stream": False, "safety_identifier": "s"},
        {**G25, "size": "1024x640", "quality": "max", "complexity": "high"},
        {"model": "gpt-image-2.6-sunburst", "size": "640x1024", "output_format": "jpeg", "output_compression": 0},
        {"model": "gpt-image-1", "size": "auto"},
        {**D2, "prompt": "data:image/png;base64,AAAA", "size": "256x256"},
        {"model": "chatgpt-image-latest", "size": "1024x1536"},
        {**D3, "quality": "hd", "size": "1024x1792", "response_format": "b64_json"},
    ],
    ids=str,
)
async def test_generations_take(address: str, http: ClientSession, fields: dict[str, object]) -> None:
    async with http.post(f"{address}/openai/v1/images/generations", json={"prompt": "a fox", **fields}) as answer:
        assert answer.status == 200, await answer.text()
        document = msgspec.json.decode(await answer.read(), type=dict[str, object])
    assert document.get("safety_identifier") == (fields.get("safety_identifier") or fields.get("user"))


@pytest.mark.parametrize("body", [b"", b"[]", b"{", b"\xff", b'{"a":' * 20_000], ids=lambda body: repr(body[:8]))
async def test_what_is_no_json_object(address: str, http: ClientSession, body: bytes) -> None:
    http.headers["Content-Type"] = "application/json"
    error = await refusal(http, f"{address}/openai/v1/images/generations", data=body)
    assert error.type == "invalid_request_error"


async def test_keys_paths_and_types(address: str, http: ClientSession) -> None:
    url = f"{address}/openai/v1/images/generations"
    assert (await refusal(http, url, data=b"{}")).code == "unsupported_content_type"
    lost = await refusal(http, f"{address}/openai/v1/chat/completions", json={}, status=404)
    assert "/v1/chat/completions" in lost.message
    await refusal(http, f"{address}/openai/v1/images/variations", data=b"anything", status=404)
    async with ClientSession() as stranger:
        assert (await refusal(stranger, url, json={}, status=401)).code is None
        stranger.headers["Authorization"] = "Bearer sk-wrong"
        wrong = await refusal(stranger, url, json={}, status=401)
    assert wrong.code == "invalid_api_key"
    assert "sk-wrong" not in wrong.message


# -- edits --


def form(fields: dict[str, str], files: list[tuple[str, bytes, str]]) -> FormData:
    data = FormData(default_to_multipart=True)
    for name, text in fields.items():
        data.add_field(name, text)
    for name, content, media_type in files:
        data.add_field(name, io.BytesIO(content), filename="file", content_type=media_type)
    return data


PNG = "image/png"


async def test_edits_refuse_files(address: str, http: ClientSession, picture: MakePicture) -> None:
    small, other, solid = picture(64, 48), picture(48, 64), picture(64, 48, mode="RGB")
    jpeg, gif = picture(64, 48, "jpeg", "RGB"), picture(64, 48, "gif", "RGB")
    cases: list[tuple[list[tuple[str, bytes, str]], str, str]] = [
        ([], "image", "missing_required_parameter"),
        ([("image[]", small, PNG)] * 17, "image", "array_above_max_length"),
        ([("image", small, PNG)] * 2, "image", "duplicate_parameter"),
        ([("image", small, "application/octet-stream")], "image", "unsupported_file_mimetype"),
        ([("image", b"hello", PNG)], "image", "invalid_image_file"),
        ([("image", b"", PNG)], "image", "invalid_image_file"),
        ([("image", small[:-20], PNG)], "image", "invalid_image_file"),
        ([("image", gif, PNG)], "image", "invalid_image_file"),
        ([("image", small, PNG), ("mask", other, PNG)], "mask", "invalid_mask_image_format"),
        ([("image", small, PNG), ("mask", solid, PNG)], "mask", "invalid_mask_image_format"),
        ([("image", small, PNG), ("mask", jpeg, "image/jpeg")], "mask", "invalid_mask_image_format"),
        ([("image", small, PNG), ("mask", small + bytes(4_000_000), PNG)], "mask", "invalid_mask_image_format"),
        ([("image", small, PNG), ("markup", small, PNG)], "markup", "invalid_value"),
        ([("image", small, PNG), ("photo", small, PNG)], "photo", "unknown_parameter"),
    ]
    for files, param, code in cases:
        data = form({**G2, "prompt": "a hat"}, files)
        error = await refusal(http, f"{address}/openai/v1/images/edits", data=data)
        assert (error.param, error.code) == (param, code), error.message


async def test_a_picture_of_fifty_megabytes(address: str, http: ClientSession, picture: MakePicture) -> None:
    heavy = picture(64, 48) + bytes(50_000_000)
    data = form({**G2, "prompt": "a hat"}, [("image", heavy, PNG)])
    assert (await refusal(http, f"{address}/openai/v1/images/edits", data=data)).param == "image"


@pytest.mark.parametrize(
    ("fields", "param", "code"),
    [
        ({**D3}, "model", "invalid_value"),
        ({**G2, "input_fidelity": "low"}, "input_fidelity", "invalid_input_fidelity_model"),
        ({"model": "gpt-image-1-mini", "input_fidelity": "high"}, "input_fidelity", "invalid_value"),
        ({**G1, "input_fidelity": "medium"}, "input_fidelity", "invalid_value"),
        ({**G2, "moderation": "low"}, "moderation", "unknown_parameter"),
        ({**G2, "n": "0"}, "n", "integer_below_min_value"),
        ({**G2, "n": "two"}, "n", "invalid_type"),
        ({**G2, "stream": "yes"}, "stream", "invalid_type"),
        ({**D2}, "image", "invalid_value"),
    ],
    ids=str,
)
async def test_edits_refuse_fields(
    address: str, http: ClientSession, picture: MakePicture, fields: dict[str, str], param: str, code: str
) -> None:
    data = form({"prompt": "a hat", **fields}, [("image", picture(64, 48), PNG)])
    error = await refusal(http, f"{address}/openai/v1/images/edits", data=data)
    assert (error.param, error.code) == (param, code), error.message


async def test_a_form_takes_numbers_markup_and_sixteen_pictures(
    address: str, http: ClientSession, picture: MakePicture
) -> None:
    files = [("image[]", picture(64, 48), PNG)] * 16 + [("markup", picture(64, 48), PNG)]
    fields = {**G25, "prompt": "a hat", "n": "2", "output_format": "jpeg", "output_compression": "80"}
    async with http.post(f"{address}/openai/v1/images/edits", data=form(fields, files)) as answer:
        assert answer.status == 200, await answer.text()
        assert len(pictures(ImagesResponse.model_validate_json(await answer.read()))) == 2


@pytest.mark.parametrize("stream", ["true", "false"])
async def test_a_picture_that_is_broken_inside(
    address: str, http: ClientSession, picture: MakePicture, stream: str
) -> None:
    whole = picture(64, 48)
    broken = whole.replace(b"IDAT", b"IDAX")
    data = form({**G2, "prompt": "a hat", "n": "2", "stream": stream}, [("image", broken, PNG)])
    assert (await refusal(http, f"{address}/openai/v1/images/edits", data=data)).code == "invalid_value"


@pytest.mark.parametrize("body", [b"", b"no form at all", b"--x\r\n\r\nhello", b"--x\r\nContent-Disp"], ids=repr)
async def test_a_broken_form(address: str, http: ClientSession, body: bytes) -> None:
    http.headers["Content-Type"] = "multipart/form-data; boundary=x"
    assert (await refusal(http, f"{address}/openai/v1/images/edits", data=body)).type == "invalid_request_error"


async def test_dall_e_2_edits_a_square(address: str, http: ClientSession, picture: MakePicture) -> None:
    fields = {**D2, "prompt": "a hat", "size": "256x256", "response_format": "b64_json"}
    data = form(fields, [("image", picture(64, 64), PNG)])
    async with http.post(f"{address}/openai/v1/images/edits", data=data) as answer:
        assert answer.status == 200, await answer.text()


async def test_models(sdk: AsyncOpenAI) -> None:
    listed = {model.id: model.shutdown_date async for model in sdk.models.list()}
    assert listed["gpt-image-2"] is None and listed["dall-e-3"] == "2026-05-12"
    assert (await sdk.models.retrieve("gpt-image-2")).object == "model"
    with pytest.raises(openai.NotFoundError) as unknown:
        await sdk.models.retrieve("gpt-4o")
    assert unknown.value.code == "model_not_found"


async def test_an_edit_in_json(address: str, http: ClientSession, picture: MakePicture) -> None:
    reference = {"image_url": data_url(picture(64, 48))}
    body = {**G2, "prompt": "a hat", "images": [reference] * 2, "mask": reference, "moderation": "low"}
    async with http.post(f"{address}/openai/v1/images/edits", json=body) as answer:
        assert answer.status == 200, await answer.text()
        document = ImagesResponse.model_validate_json(await answer.read())
    (data,) = pictures(document)
    assert look(data) == Media("image/png", 1024, 1024)
    assert document.usage and document.usage.input_tokens_details.image_tokens > 0


async def test_edits_in_json_refuse(address: str, http: ClientSession, picture: MakePicture) -> None:
    url = data_url(picture(64, 48))
    cases: list[tuple[dict[str, object], str | None, str]] = [
        ({}, "images", "missing_required_parameter"),
        ({"images": []}, "images", "missing_required_parameter"),
        ({"images": url}, "images", "invalid_type"),
        ({"images": [url]}, "images[0]", "invalid_value"),
        ({"images": [{"image_url": url, "file_id": "file-1"}]}, "images[0]", "invalid_value"),
        ({"images": [{"file_id": "file-1"}]}, "images[0].file_id", "invalid_value"),
        ({"images": [{"image_url": "https://127.0.0.1/a.png"}]}, "images[0].image_url", "invalid_value"),
        ({"images": [{"image_url": "data:image/png;base64,a*b"}]}, "images[0].image_url", "invalid_value"),
        ({"images": [{"image_url": "data:image/png;base64,aGVsbG8="}]}, "image", "invalid_image_file"),
        ({"images": [{"image_url": url.replace("png", "gif")}]}, "images[0]", "unsupported_file_mimetype"),
        ({"images": [{"image_url": url}] * 17}, "image", "array_above_max_length"),
        ({"images": [{"image_url": url}], "mask": url}, "mask", "invalid_type"),
        ({"images": [{"image_url": url}], "image": url}, "image", "unknown_parameter"),
    ]
    for fields, param, code in cases:
        body = {**G2, "prompt": "a hat", **fields}
        error = await refusal(http, f"{address}/openai/v1/images/edits", json=body)
        assert (error.param, error.code) == (param, code), error.message


# -- tokens --


def test_output_tokens_are_the_published_ones() -> None:
    qualities = ("low", "medium", "high", "xhigh", "max")
    assert [output_tokens(GPT_2_5, quality, 1024, 1024) for quality in qualities] == [196, 439, 1756, 3122, 7024]
    assert output_tokens(GPT_2, "high", 1024, 1024) == 7024
    assert output_tokens(GPT_2, "high", 3840, 2160) == output_tokens(GPT_2_5, "max", 2160, 3840) == 13342
    assert [output_tokens(GPT_1, "high", *size) for size in ((1024, 1024), (1024, 1536), (1536, 1024))] == [
        4160,
        6240,
        6208,
    ]


def test_input_tokens_grow_with_the_picture() -> None:
    assert input_tokens(Media(PNG, 1024, 1024), "low") == 194
    assert input_tokens(Media(PNG, 1024, 3000), "low") == 452
    assert input_tokens(Media(PNG, 1024, 1024), "high") == 194 + 4096
