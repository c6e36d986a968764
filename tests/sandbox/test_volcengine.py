from __future__ import annotations

import base64
import io
from collections.abc import AsyncIterator, Callable, Mapping

import httpx
import msgspec
import pytest
from aiohttp import ClientSession
from volcenginesdkarkruntime import AsyncArk
from volcenginesdkarkruntime._exceptions import (
    ArkAPIConnectionError,
    ArkAPIError,
    ArkAPIStatusError,
    ArkAuthenticationError,
    ArkBadRequestError,
    ArkInternalServerError,
    ArkNotFoundError,
    ArkPermissionDeniedError,
    ArkRateLimitError,
)
from volcenginesdkarkruntime.types.images import OptimizePromptOptions, SequentialImageGenerationOptions

from pictura.core.media import Media
from pictura.sandbox.volcengine import MODELS
from tests.sandbox.conftest import data_url, look

V4 = "doubao-seedream-4-0-250828"
LITE = "doubao-seedream-5-0-260128"
PRO = "doubao-seedream-5-0-pro-260628"
NEWEST = "doubao-seedream-5-5-261028"
V3 = "doubao-seedream-3-0-t2i-250415"
EDIT = "doubao-seededit-3-0-i2i-250628"
SMALL = "1280x720"

MakePicture = Callable[..., bytes]


class Wrong(msgspec.Struct):
    code: str
    message: str
    param: str
    type: str


class Failure(msgspec.Struct):
    error: Wrong


class Entry(msgspec.Struct, omit_defaults=True):
    url: str = ""
    b64_json: str = ""
    size: str = ""
    output_format: str = ""
    error: dict[str, str] = {}


class Answered(msgspec.Struct):
    model: str
    created: int
    data: list[Entry]
    usage: dict[str, int | dict[str, int]]


@pytest.fixture
async def sdk(address: str) -> AsyncIterator[AsyncArk]:
    """The official client, pointed at the sandbox and nowhere else."""
    async with httpx.AsyncClient(trust_env=False) as http:
        yield AsyncArk(
            base_url=f"{address}/volcengine/api/v3", api_key="sk-test-sandbox", max_retries=0, http_client=http
        )


@pytest.fixture
def url(address: str) -> str:
    return f"{address}/volcengine/api/v3/images/generations"


def decode(text: str | None) -> bytes:
    assert text
    return base64.b64decode(text, validate=True)


async def ask(http: ClientSession, url: str, **fields: object) -> Answered:
    async with http.post(url, json=fields) as answer:
        assert answer.status == 200, await answer.text()
        return msgspec.json.decode(await answer.read(), type=Answered)


async def refusal(http: ClientSession, url: str, fields: Mapping[str, object], status: int = 400) -> Wrong:
    async with http.post(url, data=io.BytesIO(msgspec.json.encode(fields))) as answer:
        assert answer.status == status, await answer.text()
        error = msgspec.json.decode(await answer.read(), type=Failure).error
        assert error.message.endswith(f"Request id: {answer.headers['X-Request-Id']}")
    return error


# -- the official SDK --


async def test_text_to_image(sdk: AsyncArk) -> None:
    answer = await sdk.images.generate(
        model=V4,
        prompt="a fox",
        size=SMALL,
        response_format="b64_json",
        watermark=False,
        optimize_prompt_options=OptimizePromptOptions(mode="fast"),
    )
    (image,) = answer.data
    assert (answer.model, image.size) == (V4, SMALL)
    assert look(decode(image.b64_json)) == Media("image/jpeg", 1280, 720)
    assert (answer.usage.generated_images, answer.usage.output_tokens) == (1, 1280 * 720 // 256)


async def test_a_url_is_the_default_and_can_be_fetched(sdk: AsyncArk, http: ClientSession) -> None:
    (image,) = (await sdk.images.generate(model=V4, prompt="a fox", size=SMALL)).data
    async with http.get(image.url) as file:
        assert look(await file.read()) == Media("image/jpeg", 1280, 720)
    (dead,) = (await sdk.images.generate(model=V4, prompt="a fox [fault:expired]", size=SMALL)).data
    async with http.get(dead.url) as nothing:
        assert nothing.status == 404


async def test_a_seed_makes_the_picture(sdk: AsyncArk) -> None:
    async def draw(seed: int) -> bytes:
        answer = await sdk.images.generate(
            model=V3, prompt="a fox", size="512x512", seed=seed, guidance_scale=3.5, response_format="b64_json"
        )
        return decode(answer.data[0].b64_json)

    assert await draw(7) == await draw(7) != await draw(8)


async def test_an_edit_of_one_picture_and_of_several(sdk: AsyncArk, picture: MakePicture) -> None:
    one, other = data_url(picture(320, 180)), data_url(picture(64, 64, "webp"), "webp")
    single = await sdk.images.generate(model=V4, prompt="a hat", image=one, size="1K", response_format="b64_json")
    assert single.data[0].size == "1312x736"
    assert look(decode(single.data[0].b64_json)) == Media("image/jpeg", 1312, 736)
    assert single.usage.input_images == 1
    both = await sdk.images.generate(model=V4, prompt="a hat", image=[other, one], size="1K", response_format="url")
    assert both.data[0].size == "1024x1024"
    assert both.usage.input_images == 2


async def test_seededit_follows_its_picture(sdk: AsyncArk, picture: MakePicture) -> None:
    answer = await sdk.images.generate(
        model=EDIT, prompt="a hat", image=data_url(picture(300, 100)), size="adaptive", response_format="b64_json"
    )
    assert look(decode(answer.data[0].b64_json)) == Media("image/jpeg", 1536, 512)


@pytest.mark.parametrize(
    ("prompt", "most", "expected"),
    [("3 foxes, a picture each", 15, 3), ("3 foxes, a picture each", 2, 2), ("a fox, 16:9 [fault:slow 0]", 4, 1)],
)
async def test_a_group_has_as_many_pictures_as_the_prompt_names(
    sdk: AsyncArk, prompt: str, most: int, expected: int
) -> None:
    answer = await sdk.images.generate(
        model=V4,
        prompt=prompt,
        size=SMALL,
        response_format="b64_json",
        sequential_image_generation="auto",
        sequential_image_generation_options=SequentialImageGenerationOptions(max_images=most),
    )
    assert len({image.b64_json for image in answer.data}) == answer.usage.generated_images == expected


async def test_a_stream_tells_of_every_picture(sdk: AsyncArk) -> None:
    stream = await sdk.images.generate(
        model=V4,
        prompt="2 foxes",
        size=SMALL,
        response_format="b64_json",
        sequential_image_generation="auto",
        stream=True,
    )
    first, second, last = [event async for event in stream]
    assert first.type == second.type == "image_generation.partial_succeeded"
    assert [first.image_index, second.image_index] == [0, 1]
    assert look(decode(first.b64_json)) == look(decode(second.b64_json)) == Media("image/jpeg", 1280, 720)
    assert last.type == "image_generation.completed"
    assert last.usage["generated_images"] == 2


async def test_the_sdk_gives_up_where_a_picture_of_a_stream_fails(sdk: AsyncArk) -> None:
    fields = {"model": V4, "size": SMALL, "sequential_image_generation": "auto"}
    seen = []
    with pytest.raises(ArkAPIError) as caught:
        async for event in await sdk.images.generate(prompt="2 foxes [refuse late]", stream=True, **fields):
            seen.append(event.image_index)
    assert seen == [0]
    assert caught.value.code == "OutputImageSensitiveContentDetected"


async def test_the_stream_goes_on_all_the_same(url: str, http: ClientSession) -> None:
    fields = {"model": V4, "prompt": "2 foxes [refuse late]", "size": SMALL, "sequential_image_generation": "auto"}
    async with http.post(url, json={**fields, "stream": True}) as answer:
        assert answer.content_type == "text/event-stream"
        text = await answer.text()
    lines = [line.removeprefix("data: ") for line in text.splitlines() if line.startswith("data: ")]
    failed, last = (msgspec.json.decode(line, type=dict[str, object]) for line in lines[1:3])
    assert (failed["type"], failed["image_index"]) == ("image_generation.partial_failed", 1)
    assert last["usage"] == {"generated_images": 1, "output_tokens": 3600, "total_tokens": 3600}
    assert lines[3:] == ["[DONE]"]


async def test_transparent_pictures(sdk: AsyncArk, picture: MakePicture) -> None:
    async def draw(model: str, image: str | None) -> Media:
        answer = await sdk.images.generate(
            model=model,
            prompt="a mug",
            image=image,
            size=SMALL,
            output_format="png",
            response_format="b64_json",
            extra_body={"background": "transparent"},
        )
        assert answer.data[0].output_format == "png"
        return look(decode(answer.data[0].b64_json))

    clear = Media("image/png", 1280, 720, alpha=True)
    assert await draw(NEWEST, None) == clear
    assert await draw(PRO, data_url(picture(64, 64))) == clear
    with pytest.raises(ArkBadRequestError, match="alpha channel"):
        await draw(PRO, data_url(picture(64, 64, mode="RGB")))


@pytest.mark.parametrize(
    ("prompt", "kind", "code", "type_"),
    [
        ("[refuse]", ArkBadRequestError, "InputTextSensitiveContentDetected", "BadRequest"),
        ("[refuse late]", ArkBadRequestError, "OutputImageSensitiveContentDetected", "BadRequest"),
        ("[fault:failed]", ArkInternalServerError, "InternalServiceError", "InternalServerError"),
        ("[fault:401]", ArkAuthenticationError, "AuthenticationError", "Unauthorized"),
        ("[fault:402]", ArkPermissionDeniedError, "AccountOverdueError", "Forbidden"),
        ("[fault:429]", ArkRateLimitError, "ModelAccountIpmRateLimitExceeded", "TooManyRequests"),
        ("[fault:500]", ArkInternalServerError, "InternalServiceError", "InternalServerError"),
        ("", ArkBadRequestError, "MissingParameter", ""),
    ],
)
async def test_errors_are_the_sdk_s_own(
    sdk: AsyncArk, prompt: str, kind: type[ArkAPIStatusError], code: str, type_: str
) -> None:
    """No error of pictures has a `param`, and one about a field has no `type` either."""
    with pytest.raises(kind) as caught:
        await sdk.images.generate(model=V4, prompt=prompt)
    assert (caught.value.code, caught.value.type, caught.value.param) == (code, type_, "")


async def test_who_may_not_and_what_is_not(sdk: AsyncArk, address: str) -> None:
    with pytest.raises(ArkNotFoundError) as unknown:
        await sdk.images.generate(model="doubao-seedream-9", prompt="a fox")
    assert unknown.value.code == "InvalidEndpointOrModel.NotFound"
    with pytest.raises(ArkAPIConnectionError):
        await sdk.images.generate(model=V4, prompt="a fox [fault:reset]")
    sdk.api_key = "sk-other"
    with pytest.raises(ArkAuthenticationError):
        await sdk.images.generate(model=V4, prompt="a fox")


# -- strictness --


@pytest.mark.parametrize(
    ("fields", "code", "name"),
    [
        ({"model": None}, "MissingParameter", "model"),
        ({"prompt": None}, "MissingParameter", "prompt"),
        ({"prompt": " "}, "MissingParameter", "prompt"),
        ({"prompt": ["a fox"]}, "InvalidParameter", "prompt"),
        ({"size": "960x959"}, "InvalidParameter", "size"),
        ({"size": "4097x4096"}, "InvalidParameter", "size"),
        ({"size": "240x4096"}, "InvalidParameter", "size"),
        ({"size": "16:9"}, "InvalidParameter", "size"),
        ({"size": "3K"}, "InvalidParameter", "size"),
        ({"size": "adaptive"}, "InvalidParameter", "size"),
        ({"model": LITE, "size": "1024x1024"}, "InvalidParameter", "size"),
        ({"model": LITE, "size": "1K"}, "InvalidParameter", "size"),
        ({"model": PRO, "size": "2151x2151"}, "InvalidParameter", "size"),
        ({"model": PRO, "size": "4K"}, "InvalidParameter", "size"),
        ({"model": V3, "size": "1K"}, "InvalidParameter", "size"),
        ({"response_format": "b64"}, "InvalidParameter", "response_format"),
        ({"watermark": "false"}, "InvalidParameter", "watermark"),
        ({"seed": -2}, "InvalidParameter", "seed"),
        ({"seed": 2**31}, "InvalidParameter", "seed"),
        ({"model": PRO, "seed": 7}, "InvalidParameter", "seed"),
        ({"guidance_scale": 2.5}, "InvalidParameter", "guidance_scale"),
        ({"model": V3, "guidance_scale": 0.5}, "InvalidParameter", "guidance_scale"),
        ({"output_format": "png"}, "InvalidParameter", "output_format"),
        ({"model": LITE, "output_format": "webp"}, "InvalidParameter", "output_format"),
        ({"background": "opaque"}, "InvalidParameter", "background"),
        ({"model": PRO, "background": "auto"}, "InvalidParameter", "background"),
        ({"model": NEWEST, "background": "transparent", "output_format": "jpeg"}, "InvalidParameter", "background"),
        ({"sequential_image_generation": "on"}, "InvalidParameter", "sequential_image_generation"),
        ({"model": PRO, "sequential_image_generation": "disabled"}, "InvalidParameter", "sequential_image_generation"),
        (
            {"sequential_image_generation_options": {"max_images": 16}},
            "InvalidParameter",
            "sequential_image_generation_options.max_images",
        ),
        ({"model": PRO, "stream": False}, "InvalidParameter", "stream"),
        ({"tools": [{"type": "web_search"}]}, "InvalidParameter", "tools"),
        ({"model": LITE, "tools": [{"type": "code"}]}, "InvalidParameter", "tools[0].type"),
        ({"model": LITE, "optimize_prompt_options": {"mode": "fast"}}, "InvalidParameter", "optimize_prompt_options"),
        ({"model": V3, "optimize_prompt_options": {"mode": "standard"}}, "InvalidParameter", "optimize_prompt_options"),
        ({"model": PRO, "layer_decomposition": True}, "InvalidParameter", "layer_decomposition"),
    ],
    ids=str,
)
async def test_what_it_refuses(url: str, http: ClientSession, fields: dict[str, object], code: str, name: str) -> None:
    error = await refusal(http, url, {"model": V4, "prompt": "a fox", **fields})
    assert error.code == code
    assert f"`{name}" in error.message


@pytest.mark.parametrize(
    ("fields", "size"),
    [
        ({"model": V4, "n": 4, "negative_prompt": "rain", "aspect_ratio": "9:16"}, "2048x2048"),
        ({"model": V4, "size": "1K", "prompt": "a fox in 9:16", "seed": 3}, "736x1312"),
        ({"model": PRO, "sequential_image_generation": None, "stream": None, "seed": None}, "2048x2048"),
        ({"model": PRO, "size": "1.5K", "prompt": "a fox in 16:9"}, "2048x1152"),
        ({"model": LITE, "size": "2560x1440", "tools": [{"type": "web_search"}]}, "2560x1440"),
        ({"model": V3}, "1024x1024"),
    ],
    ids=str,
)
async def test_what_it_takes(url: str, http: ClientSession, fields: dict[str, object], size: str) -> None:
    answer = await ask(http, url, **{"prompt": "a fox", **fields})
    assert [entry.size for entry in answer.data] == [size]
    assert ("tool_usage" in answer.usage) == ("tools" in fields)


@pytest.mark.parametrize("model", MODELS)
async def test_every_model_is_known_by_its_names(
    model: str, url: str, http: ClientSession, picture: MakePicture
) -> None:
    image = {"image": data_url(picture(64, 64))} if "edit" in model else {}
    assert (await ask(http, url, model=model, prompt="a fox", **image)).model == model


async def test_a_watermark_is_seen_unless_it_is_switched_off(url: str, http: ClientSession) -> None:
    fields = {"model": V4, "prompt": "a fox", "size": SMALL, "response_format": "b64_json"}
    stamped, plain = await ask(http, url, **fields), await ask(http, url, **fields, watermark=False)
    assert stamped.data[0].b64_json != plain.data[0].b64_json


async def test_what_fails_in_a_group_is_an_entry_of_it(url: str, http: ClientSession) -> None:
    fields = {"model": V4, "size": SMALL, "sequential_image_generation": "auto"}
    refused = await ask(http, url, prompt="3 foxes [refuse late]", **fields)
    assert [entry.error.get("code", "") for entry in refused.data] == ["", "", "OutputImageSensitiveContentDetected"]
    assert refused.usage["generated_images"] == 2
    stopped = await ask(http, url, prompt="3 foxes [fault:failed]", **fields)
    assert [entry.error.get("code", "") for entry in stopped.data] == ["", "InternalServiceError"]
    nothing = await ask(http, url, prompt="a fox [refuse late]", **fields)
    assert [bool(entry.error) for entry in nothing.data] == [True]


async def test_a_group_counts_its_inputs(url: str, http: ClientSession, picture: MakePicture) -> None:
    images = [data_url(picture(16, 16))] * 13
    answer = await ask(
        http, url, model=V4, prompt="5 foxes", image=images, size=SMALL, sequential_image_generation="auto"
    )
    assert len(answer.data) == 2


async def test_pictures_it_refuses(url: str, http: ClientSession, picture: MakePicture) -> None:
    small = data_url(picture(64, 64))
    cases: list[tuple[str, object, str]] = [
        (V3, small, "InvalidParameter"),
        (EDIT, None, "MissingParameter"),
        (EDIT, [small] * 2, "InvalidParameter"),
        (EDIT, data_url(picture(64, 64, "webp"), "webp"), "InvalidParameter.UnsupportedImageFormat"),
        (EDIT, data_url(picture(62, 20)), "InvalidParameter"),
        (V4, [small] * 15, "InvalidParameter"),
        (PRO, [small] * 11, "InvalidParameter"),
        (V4, base64.b64encode(picture(64, 64)).decode(), "InvalidParameter"),
        (V4, data_url(b"hello"), "InvalidParameter"),
        (V4, data_url(picture(64, 64)[:-20]), "InvalidParameter"),
        (V4, data_url(picture(64, 14)), "InvalidParameter"),
        (V4, data_url(picture(330, 20)), "InvalidParameter"),
        (V4, data_url(picture(64, 64) + bytes(10_000_000)), "InvalidParameter.OversizedImage"),
        (V4, [{"url": small}], "InvalidParameter"),
    ]
    for model, image, code in cases:
        error = await refusal(http, url, {"model": model, "prompt": "a hat", "image": image})
        assert error.code == code, error.message
        assert "`image`" in error.message


async def test_a_picture_by_url_is_imagined(url: str, http: ClientSession) -> None:
    image = "https://pictures.example.com/fox.png"
    answer = await ask(http, url, model=V4, prompt="a hat", image=image, size=SMALL)
    assert answer.usage["input_images"] == 1


@pytest.mark.parametrize("body", [b"", b"[]", b"{", b"\xff"], ids=repr)
async def test_what_is_no_json_object(url: str, http: ClientSession, body: bytes) -> None:
    async with http.post(url, data=body) as answer:
        assert answer.status == 400
        assert msgspec.json.decode(await answer.read(), type=Failure).error.code == "InvalidParameter"


async def test_keys_and_other_paths(address: str, url: str, http: ClientSession) -> None:
    other = f"{address}/volcengine/api/v3/contents/generations/tasks"
    assert (await refusal(http, other, {}, status=404)).code == "NotFound"
    async with ClientSession() as stranger:
        assert (await refusal(stranger, url, {"model": V4}, status=401)).code == "AuthenticationError"
