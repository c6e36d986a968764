from __future__ import annotations

import base64
from collections.abc import Callable, Mapping

import msgspec
import pytest
from aiohttp import ClientSession

PLACE = "/mixroute/v1/images/generations"
PROMPT = "一隻可愛的橙色小貓坐在花園裡"

MakePicture = Callable[..., bytes]


class Datum(msgspec.Struct, forbid_unknown_fields=True):
    url: str
    b64_json: str
    revised_prompt: str


class Inside(msgspec.Struct):
    data: list[Datum]
    created: int


class Wrapped(msgspec.Struct):
    code: int
    msg: str
    data: Inside | None


async def ask(address: str, http: ClientSession, body: Mapping[str, object], status: int = 200) -> bytes:
    async with http.post(address + PLACE, json=body) as answer:
        assert answer.status == status, await answer.text()
        return await answer.read()


def told(answer: bytes) -> Inside:
    """What stands in the answer, in either envelope."""
    if b'"code"' not in answer[:20]:
        return msgspec.json.decode(answer, type=Inside)
    wrapped = msgspec.json.decode(answer, type=Wrapped)
    assert (wrapped.code, wrapped.msg) == (200, "操作成功")
    assert wrapped.data is not None
    return wrapped.data


def examples(image: str) -> Mapping[str, Mapping[str, object]]:
    """Its page's, with a picture in the place of dots."""
    gemini = {"model": "gemini-2.5-flash-image", "size": "16:9", "quality": "high", "temperature": 1.1, "top_p": 0.95}
    seedream = {"model": "doubao-seedream-4-0-250828", "size": "1024x1024", "watermark": False, "seed": 12345}
    gpt = {"model": "gpt-image-1", "prompt": PROMPT, "size": "1024x1024", "quality": "high", "n": 1}
    return {
        "Gemini": {
            **gemini,
            "prompt": PROMPT,
            "n": 1,
            "response_format": "b64_json",
            "image_size": "1K",
            "mime_type": "image/png",
            "response_modalities": "image",
        },
        "Gemini, pictures": {
            **gemini,
            "image_size": "3K",
            "contents": [{"role": "user", "parts": [{"text": PROMPT}, {"image": image}]}],
        },
        "Seedream": {**seedream, "prompt": PROMPT, "optimize_prompt_options": {"mode": "standard"}},
        "Seedream, pictures": {
            **seedream,
            "prompt": PROMPT,
            "contents": [{"role": "user", "parts": [{"image": image}, {"text": PROMPT}]}],
        },
        "GPT": gpt,
        "GPT, pictures": {**gpt, "input_fidelity": "medium", "image": image},
        "Qwen": {
            "model": "qwen-image-plus",
            "input": {"messages": [{"role": "user", "content": [{"text": PROMPT}]}]},
            "parameters": {"negative_prompt": "1", "prompt_extend": True, "seed": "4", "watermark": True},
        },
        "plain": {"model": "seedream-4.0-base", "prompt": PROMPT, "size": "1024x1024", "n": 1},
    }


@pytest.mark.parametrize("name", examples(""))
async def test_its_pages_examples(address: str, http: ClientSession, picture: MakePicture, name: str) -> None:
    inline = f"data:image/png;base64,{base64.b64encode(picture(64, 48)).decode()}"
    body = examples(inline)[name]
    (datum,) = told(await ask(address, http, body)).data
    assert bool(datum.url) is ("seedream" in str(body["model"]))
    assert bool(datum.b64_json) is not bool(datum.url)


async def test_a_group(address: str, http: ClientSession) -> None:
    body = {"model": "doubao-seedream-4-5-251128", "prompt": PROMPT, "sequential_image_generation": "auto"}
    assert len(told(await ask(address, http, {**body, "size": "256x256"})).data) == 4


# -- errors --

QWEN = {"messages": [{"role": "user", "content": [{"text": PROMPT}]}]}


@pytest.mark.parametrize(
    "fields",
    [
        {"prompt": ""},
        {"size": "512x512"},
        {"quality": "hd"},
        {"n": 11},
        {"response_format": "url"},
        {"input_fidelity": "divine"},
        {"image": "a.png"},
        {"image": ["https://example.com/a.png"] * 11},
        {"model": "gemini-2.5-flash-image", "size": "1024x1024"},
        {"model": "gemini-2.5-flash-image", "image_size": "8K"},
        {"model": "gemini-2.5-flash-image", "mime_type": "image/webp"},
        {"model": "gemini-2.5-flash-image", "response_modalities": ["image"]},
        {"model": "gemini-2.5-flash-image", "contents": [{"role": "user", "parts": []}]},
        {"model": "doubao-seedream-4-0-250828", "guidance_scale": 11},
        {"model": "doubao-seedream-3-0-t2i-250415", "contents": [{"parts": [{"image": "https://example.com/a.png"}]}]},
        {"model": "doubao-seededit-3-0-i2i-250628"},
        {"model": "qwen-image-plus"},
        {"model": "qwen-image-plus", "input": QWEN, "parameters": {"n": 2}},
        {"model": "qwen-image-plus", "input": QWEN, "parameters": {"seed": "four"}},
        {"model": "qwen-image-edit-plus", "input": QWEN},
    ],
    ids=str,
)
async def test_what_is_wrong_with_a_body_is_wrapped(
    address: str, http: ClientSession, fields: Mapping[str, object]
) -> None:
    answer = await ask(address, http, {"model": "gpt-image-1", "prompt": PROMPT, **fields})
    wrapped = msgspec.json.decode(answer, type=Wrapped)
    assert (wrapped.code, wrapped.data) == (400, None)
    assert wrapped.msg


@pytest.mark.parametrize(
    ("fields", "status", "code"),
    [
        ({"model": "nothing"}, 503, "model_not_found"),
        ({"prompt": "a fox [refuse]"}, 400, "content_policy_violation"),
        ({"prompt": "a fox [fault:402]"}, 403, "insufficient_user_quota"),
        ({"prompt": "a fox [fault:429]"}, 429, "rate_limit_exceeded"),
        ({"prompt": "a fox [fault:500]"}, 500, "bad_response_status_code"),
    ],
)
async def test_other_errors_are_the_familys(
    address: str, http: ClientSession, fields: Mapping[str, object], status: int, code: str
) -> None:
    answer = await ask(address, http, {"model": "gpt-image-1", "prompt": PROMPT, **fields}, status)
    assert msgspec.json.decode(answer, type=dict[str, dict[str, str]])["error"]["code"] == code


async def test_a_wrong_key_and_a_wrong_path(address: str, http: ClientSession) -> None:
    async with ClientSession() as nobody, nobody.post(address + PLACE, json={}) as answer:
        assert answer.status == 401
    async with http.post(f"{address}/mixroute/v1/images/edits", json={}) as answer:
        assert answer.status == 404
