"""TokenHub has no SDK that knows these paths: the simulator is driven over plain HTTP, as its pages show it."""

from __future__ import annotations

import io
import json
from collections.abc import Awaitable, Callable

import msgspec
import pytest
from aiohttp import ClientSession
from PIL import Image

from tests.sandbox.conftest import data_url

V3, V35, PANORAMA = "hy-image-v3", "hy-image-v3.5-preview", "hy-world2-panorama"
PATHS = {
    V3: "/hunyuan-image/v3-generation",
    V35: "/hunyuan-image/v35-generation",
    PANORAMA: "/hunyuan-video/world2-panorama",
}

Json = dict[str, object]
Picture = Callable[..., bytes]
Ask = Callable[..., Awaitable[tuple[int, Json]]]


class Drawn(msgspec.Struct):
    """One picture, wherever the answer holds it."""

    url: str
    revised_prompt: str = ""
    width: int = 0
    height: int = 0


@pytest.fixture
def ask(address: str, http: ClientSession) -> Ask:
    """Posts a body to a model's path: `await ask(V3, prompt="a fox")`."""

    async def post(model: str, *, headers: dict[str, str] | None = None, **body: object) -> tuple[int, Json]:
        url = f"{address}/tencent-tokenhub/v1/wand{PATHS[model]}"
        data = io.BytesIO(json.dumps({"model": model, **body}).encode())
        async with http.post(url, data=data, headers=headers) as answer:
            return answer.status, await answer.json()

    return post


def spoken(text: str, *urls: str, **more: object) -> Json:
    pictures = [{"type": "image_url", "image_url": {"url": url}} for url in urls]
    return {"messages": [{"role": "user", "content": [{"type": "text", "text": text}, *pictures]}], **more}


def body_of(model: str, text: str) -> Json:
    return spoken(text) if model == V35 else {"prompt": text}


def drawn(told: Json) -> Drawn:
    if told.get("data"):
        (found,) = msgspec.convert(told["data"], list[Drawn])
        return found
    (choice,) = msgspec.convert(told["choices"], list[dict[str, object]])
    assert choice["finish_reason"] == "stop"
    delta = msgspec.convert(choice["delta"], dict[str, object])
    return msgspec.convert(delta["image"], Drawn)


async def fetch(http: ClientSession, told: Json) -> bytes:
    async with http.get(drawn(told).url) as answer:
        assert answer.status == 200
        return await answer.read()


async def size_of(http: ClientSession, told: Json) -> tuple[int, int]:
    return Image.open(io.BytesIO(await fetch(http, told))).size


def error(told: Json) -> dict[str, str]:
    return msgspec.convert(told["error"], dict[str, str])


# -- drawing --


SIZES: list[tuple[str, Json, tuple[int, int]]] = [
    (V3, {}, (1024, 1024)),
    (V3, {"size": "512x2048"}, (512, 2048)),
    (V3, {"size": "777x1001"}, (777, 1001)),
    (V35, {}, (1536, 1536)),
    (V35, {"size": "1024x512"}, (1024, 512)),
    (V35, {"size": "1023x513"}, (1008, 512)),
    (PANORAMA, {}, (1920, 960)),
]


@pytest.mark.parametrize(("model", "said", "expected"), SIZES, ids=str)
async def test_a_picture_of_a_prompt(
    model: str, said: Json, expected: tuple[int, int], ask: Ask, http: ClientSession
) -> None:
    status, told = await ask(model, **body_of(model, "a fox"), **said)
    assert (status, bool(told["id"]), bool(told["request_id"])) == (200, True, True)
    assert await size_of(http, told) == expected


@pytest.mark.parametrize(("size", "tokens"), [("2048x2048", 15_000), ("2064x2048", 20_000)])
async def test_v35_tells_tokens_and_size(size: str, tokens: int, ask: Ask) -> None:
    _, told = await ask(V35, **spoken("a fox"), size=size)
    assert told["tokenhub_usage"] == {"total_tokens": tokens}
    assert f"{drawn(told).width}x{drawn(told).height}" == size


async def test_v3_tells_the_prompt_it_drew(ask: Ask) -> None:
    for revise, prompt in ((False, "a fox"), (True, "a fox (as painted in the sandbox)")):
        _, told = await ask(V3, prompt="a fox", revise=revise, footnote="mine")
        assert drawn(told).revised_prompt == prompt


@pytest.mark.parametrize("model", [V3, V35])
async def test_a_seed_counts(model: str, ask: Ask, http: ClientSession) -> None:
    answers = [(await ask(model, **body_of(model, "a fox"), seed=seed, size="512x512"))[1] for seed in (7, 7, 8)]
    first, again, other = [await fetch(http, told) for told in answers]
    assert first == again != other


async def test_edits(ask: Ask, http: ClientSession, picture: Picture) -> None:
    _, plain = await ask(V3, prompt="a fox")
    shown = [data_url(picture(600, 600, "jpeg", "RGB"), "jpeg"), drawn(plain).url, "https://pictures.example.com/1.png"]
    _, third = await ask(V3, prompt="a fox", images=shown)
    assert await fetch(http, plain) != await fetch(http, third)
    _, told = await ask(V35, **spoken("a fox", *shown, data_url(picture(64, 64, "webp"), "webp")), size="512x512")
    assert await size_of(http, told) == (512, 512)
    for url in shown:
        _, told = await ask(PANORAMA, image_url=url)
        assert await size_of(http, told) == (1920, 960)


async def test_the_last_message_counts(ask: Ask, http: ClientSession) -> None:
    history = [
        {"role": "system", "content": [{"type": "text", "text": "draw well"}]},
        {"role": "user", "content": [{"type": "text", "text": "[refuse]"}]},
        {"role": "assistant", "content": [{"type": "text", "text": "done"}]},
    ]
    last = {"role": "user", "content": [{"type": "text", "text": "a fox"}]}
    _, told = await ask(V35, messages=[*history, last], session="s-1", use_search_tool=True)
    assert drawn(told)


# -- what goes wrong --


@pytest.mark.parametrize("model", PATHS)
@pytest.mark.parametrize(
    ("mark", "status", "kind", "code"),
    [
        ("[refuse]", 451, "content_filter_error", "451001"),
        ("[refuse late]", 200, "invalid_request_error", "content_filter"),
        ("[fault:401]", 401, "authentication_error", "401002"),
        ("[fault:402]", 402, "permission_error", "403004"),
        ("[fault:429]", 429, "rate_limit_error", "429001"),
        ("[fault:500]", 500, "upstream_error", "500001"),
        ("[fault:failed]", 502, "upstream_error", "502001"),
    ],
)
async def test_what_goes_wrong(model: str, mark: str, status: int, kind: str, code: str, ask: Ask) -> None:
    found, told = await ask(model, **body_of(model, mark))
    assert (found, error(told)["type"], error(told)["code"]) == (status, kind, code)


@pytest.mark.parametrize("header", ["", "Bearer nobody", "Basic sk-test-sandbox"])
async def test_strangers_are_turned_away(header: str, ask: Ask) -> None:
    status, told = await ask(V3, headers={"Authorization": header}, prompt="a fox")
    assert (status, error(told)["code"]) == (401, "401002")


async def test_a_path_draws_with_its_own_model(address: str, http: ClientSession) -> None:
    for model in (V35, "hy-image-v9"):
        body = {"model": model, "prompt": "a fox"}
        async with http.post(f"{address}/tencent-tokenhub/v1/wand{PATHS[V3]}", json=body) as answer:
            assert (answer.status, error(await answer.json())["code"]) == (400, "400004")


@pytest.mark.parametrize("path", ["/v1/wand/hunyuan-image/v9-generation", "/v1/chat/completions"])
async def test_other_paths_are_not_found(path: str, address: str, http: ClientSession) -> None:
    async with http.post(f"{address}/tencent-tokenhub{path}", json={}) as answer:
        assert answer.status == 404


# -- what it refuses --

ELSEWHERE = "https://pictures.example.com/1.png"
REFUSED: list[tuple[str, Json]] = [
    (V3, {}),
    (V3, {"prompt": ""}),
    (V3, {"prompt": 7}),
    (V3, {"prompt": "a" * 8193}),
    (V3, {"prompt": "a fox", "colour": "red"}),
    (V3, {"prompt": "a fox", "size": "large"}),
    (V3, {"prompt": "a fox", "size": "1024:1024"}),
    (V3, {"prompt": "a fox", "size": "511x1024"}),
    (V3, {"prompt": "a fox", "size": "1040x1024"}),
    (V3, {"prompt": "a fox", "seed": 0}),
    (V3, {"prompt": "a fox", "seed": 2**32}),
    (V3, {"prompt": "a fox", "revise": 1}),
    (V3, {"prompt": "a fox", "footnote": "a" * 17}),
    (V3, {"prompt": "a fox", "n": 2}),
    (V3, {"prompt": "a fox", "images": [ELSEWHERE] * 4}),
    (V3, {"prompt": "a fox", "images": ["no picture"]}),
    (V35, {"prompt": "a fox"}),
    (V35, {"messages": []}),
    (V35, {"messages": [{"role": "assistant", "content": [{"type": "text", "text": "a fox"}]}]}),
    (V35, {"messages": [{"role": "fox", "content": [{"type": "text", "text": "a fox"}]}]}),
    (V35, {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": ELSEWHERE}}]}]}),
    (V35, {"messages": [{"role": "user", "content": [{"type": "audio", "audio": "a fox"}]}]}),
    (V35, {"messages": [{"role": "user", "content": [{"type": "text", "text": "a fox", "colour": "red"}]}]}),
    (V35, spoken("a fox", *[ELSEWHERE] * 21)),
    (V35, spoken("a fox", size="255x1024")),
    (V35, spoken("a fox", size="8192x4096")),
    (V35, spoken("a fox", generate_max_pixels=16_777_217)),
    (V35, spoken("a fox", use_search_tool="yes")),
    (PANORAMA, {}),
    (PANORAMA, {"prompt": "a fox", "image_url": ELSEWHERE}),
    (PANORAMA, {"prompt": "a" * 601}),
    (PANORAMA, {"image_url": "no picture"}),
    (PANORAMA, {"prompt": "a fox", "size": "1024x1024"}),
]


@pytest.mark.parametrize(("model", "body"), REFUSED, ids=lambda value: str(value)[:60])
async def test_what_is_wrong_is_told(model: str, body: Json, ask: Ask) -> None:
    status, told = await ask(model, **body)
    assert (status, error(told)["type"], error(told)["code"]) == (400, "invalid_request_error", "400001")
    assert error(told)["request_id"]


@pytest.mark.parametrize(
    ("model", "format", "width", "padding"),
    [(V3, "webp", 64, 0), (V3, "png", 64, 10_000_000), (V35, "gif", 64, 0), (PANORAMA, "png", 511, 0)],
)
async def test_pictures_that_are_not_taken(
    model: str, format: str, width: int, padding: int, ask: Ask, picture: Picture
) -> None:
    url = data_url(picture(width, 512, format, "RGB") + bytes(padding), format)
    bodies: dict[str, Json] = {
        V3: {"prompt": "a fox", "images": [url]},
        V35: spoken("a fox", url),
        PANORAMA: {"image_url": url},
    }
    status, told = await ask(model, **bodies[model])
    assert (status, error(told)["code"]) == (400, "400001")


@pytest.mark.parametrize("body", [b"[]", b"{no", b""])
async def test_what_is_no_json_object(body: bytes, address: str, http: ClientSession) -> None:
    async with http.post(f"{address}/tencent-tokenhub/v1/wand{PATHS[V3]}", data=body) as answer:
        assert (answer.status, error(await answer.json())["code"]) == (400, "400001")
