"""MixRoute's page (2026-02): its curl lines as they stand there, answered by this house, and both of its envelopes.

Only the key is filled in, and a whole picture where the page cuts an inline one short.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from pathlib import Path

import msgspec
import pytest
import pytest_asyncio

from pictura.core.errors import BadRequest
from pictura.core.media import Media
from pictura.infra.config import Settings
from pictura.store import jobs
from tests.doors.door import ADMIN, LIVE, MODEL, SHARED, TEST, Answer, Door, Shown, data_url, png_file
from tests.doors.seed import (
    CHINESE,
    GENERATIONS,
    Client,
    check_shape,
    configured_door,
    encoded,
    entries,
    expires_in_s,
    filled,
    heavy,
    place_references,
    plain,
    refusal,
    seed_door,
)
from tests.doors.shell import Shell, needs_curl, open_shell
from tests.upstream import Upstream, file, picture

pytestmark = pytest.mark.asyncio(loop_scope="module")

HOST = "console.mixroute.io"
#: Of every picture, empty where nothing stands in them.
KEYS = {"url", "b64_json", "revised_prompt"}

GEMINI = r"""curl -X POST "https://console.mixroute.io/v1/images/generations" \
-H "Authorization: Bearer sk-xxxxxxxxxx" \
-H "Content-Type: application/json" \
-d '{
"model": "gemini-2.5-flash-image",
"prompt": "一隻可愛的橙色小貓坐在花園裡,陽光明媚,高質量攝影",
"size": "16:9",
"quality": "high",
"n": 1,
"temperature":1.1,
"top_p":0.95,
"response_format": "b64_json",
"image_size": "2K",
"mime_type": "image/png",
"response_modalities": "image"
}'"""
GEMINI_EDIT = r"""curl -X POST "https://console.mixroute.io/v1/images/generations" \
-H "Authorization: Bearer sk-xxxxxxxxxx" \
-H "Content-Type: application/json" \
-d '{
"model": "gemini-2.5-flash-image",
"size": "16:9",
"quality": "high",
"image_size": "3K",
"temperature":1.1,
"top_p":0.95,
"response_format": "b64_json",
"contents": [
{
"role": "user",
"parts": [
{"text": "根據這張圖生成一張俯瞰廣州塔的圖片"},
{"image": "data:image/png;base64,iVBORw0KGgoAAxxxx..."}
]
}
]
}'"""
SEEDREAM = r"""curl -X POST "https://console.mixroute.io/v1/images/generations" \
-H "Authorization: Bearer sk-xxxxxxxxxx" \
-H "Content-Type: application/json" \
-d '{
"model": "doubao-seedream-4-0-250828",
"prompt": "一隻可愛的橙色小貓坐在花園裡,陽光明媚,高質量攝影",
"size": "2048x2048",
"watermark": false,
"seed": 12345,
"optimize_prompt_options": {
"mode": "standard"
}
}'"""
SEEDREAM_EDIT = r"""curl -X POST "https://console.mixroute.io/v1/images/generations" \
-H "Authorization: Bearer sk-xxxxxxxxxx" \
-H "Content-Type: application/json" \
-d '{
"model": "doubao-seedream-4-0-250828",
"prompt": "將這張圖片改成油畫風格",
"size": "2048x2048",
"watermark": false,
"seed": 12345,
"contents": [
{
"role": "user",
"parts": [
{"image": "data:image/png;base64,iVBORw0KGgoAAxxxx..."},
{"text": "將這張圖片改成油畫風格"}
]
}
]
}'"""
GPT = r"""curl -X POST "https://console.mixroute.io/v1/images/generations" \
-H "Authorization: Bearer sk-xxxxxxxxxx" \
-H "Content-Type: application/json" \
-d '{
"model": "gpt-image-1",
"prompt": "一隻可愛的橙色小貓坐在花園裡,陽光明媚,高質量攝影",
"size": "1024x1024",
"quality": "high",
"n": 1
}'"""
GPT_EDIT = r"""curl -X POST "https://console.mixroute.io/v1/images/generations" \
-H "Authorization: Bearer sk-xxxxxxxxxx" \
-H "Content-Type: application/json" \
-d '{
"model": "gpt-image-1",
"prompt": "將這張圖片改成油畫風格",
"size": "1024x1024",
"quality": "high",
"input_fidelity": "medium",
"n": 1,
"image": "data:image/png;base64,iVBORw0KGgoAAxxxx..."
}'"""
QWEN = r"""curl -X POST "https://console.mixroute.io/v1/images/generations" \
-H "Authorization: Bearer sk-xxxxxxxxxx" \
-H "Content-Type: application/json" \
-d '{
"model": "qwen-image-plus",
"input": {
"messages": [
{
"role": "user",
"content": [
{
"text": "一副典雅莊重的對聯懸掛於廳堂之中,房間是個安靜古典的中式佈置"
}
]
}
]
},
"parameters": {
"negative_prompt": "1",
"prompt_extend": true,
"seed": "4",
"watermark": true
}
}'"""
BASE = r"""curl --request POST \
--url https://console.mixroute.io/v1/images/generations \
--header 'Authorization: Bearer sk-xxxxxxxxxx' \
--header 'Content-Type: application/json' \
--data '{
"model": "seedream-4.0-base",
"prompt": "一隻可愛的橙色小貓坐在花園裡",
"size": "1024x1024",
"n": 1
}'"""

CAT = "一隻可愛的橙色小貓坐在花園裡,陽光明媚,高質量攝影"
OIL = "將這張圖片改成油畫風格"


class Example(msgspec.Struct):
    """A line, how its picture is delivered, of what pixels or aspect, and what the house understood of it."""

    line: str
    delivery: str
    size: str
    prompt: str
    params: Mapping[str, object] = {}
    inputs: int = 0
    adjusted: str = ""


EXAMPLES = {
    "gemini": Example(
        GEMINI,
        "b64_json",
        "16:9",
        CAT,
        {"temperature": 1.1, "top_p": 0.95},
        adjusted="image_size=2K→1K, quality=high→none",
    ),
    "gemini edit": Example(
        GEMINI_EDIT,
        "b64_json",
        "16:9",
        "根據這張圖生成一張俯瞰廣州塔的圖片",
        {"temperature": 1.1, "top_p": 0.95},
        inputs=1,
        adjusted="image_size=3K→1K, quality=high→none",
    ),
    "seedream": Example(
        SEEDREAM,
        "url",
        "2048x2048",
        CAT,
        {"watermark": False, "seed": 12345, "optimize_prompt_options": {"mode": "standard"}},
    ),
    # The prompt and the text of its contents are the same, and are said once.
    "seedream edit": Example(SEEDREAM_EDIT, "url", "2048x2048", OIL, {"watermark": False, "seed": 12345}, inputs=1),
    "gpt": Example(GPT, "b64_json", "1024x1024", CAT, {"quality": "high"}),
    "gpt edit": Example(
        GPT_EDIT,
        "b64_json",
        "1024x1024",
        OIL,
        {"quality": "high", "input_fidelity": "low"},
        inputs=1,
        adjusted="input_fidelity=medium→low",
    ),
    "qwen": Example(
        QWEN,
        "url",
        "",
        "一副典雅莊重的對聯懸掛於廳堂之中,房間是個安靜古典的中式佈置",
        {"negative_prompt": "1", "prompt_extend": True, "seed": 4, "watermark": True},
    ),
    "base": Example(BASE, "url", "1024x1024", "一隻可愛的橙色小貓坐在花園裡"),
}

#: The page's table of models, each with the size that it draws most quickly; and whether it wants a picture.
MODELS = {
    "gemini-2.5-flash-image": ("1:1", False),
    "gemini-3-pro-image-preview": ("1:1", False),
    "doubao-seedream-3-0-t2i-250415": ("1024x1024", False),
    "doubao-seedream-4-0-250828": ("1024x1024", False),
    "doubao-seedream-4-5-251128": ("2048x2048", False),
    "doubao-seededit-3-0-i2i-250628": ("", True),
    "gpt-image-1": ("1024x1024", False),
    "gpt-image-1-mini": ("1024x1024", False),
    "qwen-image-plus": ("1328x1328", False),
    "qwen-image-edit-plus": ("1024x1024", True),
}
#: Of each family a model that edits, what formats and bytes the page promises to take, and what its vendor does not.
INPUTS = {
    "qwen-image-edit-plus": (("JPEG", "PNG", "BMP", "TIFF", "WEBP"), ("AVIF",), 10_000_000),
    "gpt-image-1-mini": (("JPEG", "PNG", "GIF", "WEBP"), ("BMP", "TIFF"), 10_000_000),
    "doubao-seedream-4-0-250828": (("JPEG", "PNG", "WEBP", "BMP", "TIFF", "GIF"), ("AVIF",), 10_000_000),
    "gemini-2.5-flash-image": (("PNG", "JPEG", "WEBP"), ("GIF", "BMP", "TIFF"), 7_000_000),
}

QUICK = {"model": "gemini-2.5-flash-image", "prompt": CAT}
GPT_QUICK = {"model": "gpt-image-1-mini", "prompt": CAT, "quality": "low"}
SEEDREAM_QUICK = {"model": "doubao-seedream-4-0-250828", "prompt": CAT, "size": "1024x1024"}
QWEN_QUICK = {"model": "qwen-image-plus", "prompt": CAT, "size": "1328x1328"}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shared_door(tmp_path_factory: pytest.TempPathFactory, shared_upstream: Upstream) -> AsyncIterator[Door]:
    async with seed_door(tmp_path_factory.mktemp("house"), shared_upstream) as door:
        yield door


@pytest.fixture
def client(door: Door) -> Client:
    place_references(door.upstream)
    return Client(door, HOST)


def unwrapped(answer: Answer) -> list[Shown]:
    """The pictures of an answer in the page's first envelope."""
    assert answer.status == 200, answer.body
    assert set(answer.fields) == {"code", "msg", "data"}
    assert (answer.fields["code"], answer.fields["msg"]) == (200, "操作成功")
    inner = msgspec.convert(answer.fields["data"], dict[str, object])
    assert set(inner) == {"data", "created"}
    return entries(inner, KEYS)


class WrappedRefusal(msgspec.Struct):
    """An error in the same envelope, with OpenAI's beside it."""

    code: int
    msg: str
    data: None
    error: dict[str, object]


def wrong(answer: Answer, status: int = 400) -> WrappedRefusal:
    assert answer.status == status, answer.body
    assert set(answer.fields) == {"code", "msg", "data", "error"}
    told = msgspec.json.decode(answer.body, type=WrappedRefusal)
    assert (told.code, told.msg) == (status, told.error["message"])
    assert set(told.error) == {"message", "type", "param", "code"}
    return told


def adjusted(answer: Answer) -> str:
    """What the answer says was not as asked."""
    return answer.headers.get("x-pictura-adjusted", "")


# -- the examples --


@pytest_asyncio.fixture(loop_scope="module")
async def shell(door: Door, tmp_path: Path) -> AsyncIterator[Shell]:
    async with open_shell(tmp_path, (HOST,), door.port) as shell:
        yield shell


@needs_curl
@pytest.mark.parametrize("name", EXAMPLES)
async def test_curl_draws(name: str, client: Client, shell: Shell) -> None:
    example = EXAMPLES[name]
    answer = await shell.ask(filled(example.line, client.door.upstream).replace("sk-xxxxxxxxxx", TEST))
    (shown,) = unwrapped(answer)
    assert bool(shown.url) == (example.delivery == "url")
    assert not shown.url or shown.url.startswith(f"https://{HOST}/files/")
    (found,) = await client.pictures([shown])
    if ":" in example.size:
        check_shape(found, example.size, "1K")
    elif example.size:
        assert f"{found.width}x{found.height}" == example.size
    assert adjusted(answer) == example.adjusted
    assert not {"x-pictura-ignored", "x-pictura-short"} & set(answer.headers)

    asked = client.door.job(answer).request
    assert (asked.prompt, asked.params, len(asked.images)) == (example.prompt, example.params, example.inputs)


@pytest.mark.parametrize("name", MODELS)
async def test_models(name: str, client: Client) -> None:
    size, edits = MODELS[name]
    fields = {"model": name, "prompt": OIL, "size": size}
    answer = await client.ask({**fields, "image": data_url(picture(512, 512))} if edits else fields)
    (found,) = await client.pictures(unwrapped(answer))
    if "x" in size:
        assert f"{found.width}x{found.height}" == size


@pytest.mark.parametrize("fields", [QUICK, GPT_QUICK, SEEDREAM_QUICK, QWEN_QUICK], ids=lambda fields: fields["model"])
async def test_deliveries(fields: dict[str, object], client: Client) -> None:
    """Each family's own where none is named; a named one is honoured for all."""
    own = "b64_json" if fields["model"] in (QUICK["model"], GPT_QUICK["model"]) else "url"
    for named, given in ((None, own), ("url", "url"), ("b64_json", "b64_json")):
        shown = unwrapped(await client.ask({**fields, "response_format": named}))
        assert [("url" if one.url else "b64_json") for one in shown] == [given]
        await client.pictures(shown)
    assert wrong(await client.ask({**fields, "response_format": "file"})).error["param"] == "response_format"


async def test_a_url_is_good_for_a_day(client: Client) -> None:
    (shown,) = unwrapped(await client.ask(SEEDREAM_QUICK))
    assert 86_400 - 60 < expires_in_s(shown.url) <= 86_400


# -- the other envelope --


async def test_the_plain_envelope(tmp_path: Path, upstream: Upstream) -> None:
    """The page's other answer, chosen by the operator; errors follow it."""
    async with configured_door(tmp_path, upstream, Settings(dialects={"mixroute": {"envelope": "plain"}})) as door:
        client = Client(door, HOST)
        answer = await client.ask(BASE[BASE.index("{") : -1])
        (found,) = await client.pictures(plain(answer, KEYS))
        assert (found.width, found.height) == (1024, 1024)
        refused = refusal(await client.ask({**QUICK, "n": 11}))
        assert (refused.type, refused.param) == ("new_api_error", "n")


async def test_an_envelope_that_there_is_not(tmp_path: Path, upstream: Upstream) -> None:
    with pytest.raises(BadRequest, match=r"\[dialects.mixroute\].*envelope"):
        async with configured_door(tmp_path, upstream, Settings(dialects={"mixroute": {"envelope": "paper"}})):
            pass


# -- how many --


@pytest.mark.parametrize(
    ("fields", "n", "calls"),
    [
        (GPT_QUICK, 1, 1),
        (GPT_QUICK, 10, 1),
        (QUICK, 3, 3),
        (QWEN_QUICK, 3, 3),
        (SEEDREAM_QUICK, 3, 3),
    ],
    ids=["one of gpt", "ten of gpt", "gemini", "qwen", "seedream"],
)
async def test_n(fields: dict[str, object], n: int, calls: int, client: Client) -> None:
    """In one call where the vendor counts, in several where it does not."""
    answer = await client.ask({**fields, "n": n, "response_format": "url"})
    assert len({one.url for one in unwrapped(answer)}) == n
    job = client.door.job(answer)
    assert len(client.door.house.database.read(lambda tx: jobs.attempts(tx, job.id))) == calls


@pytest.mark.parametrize("fields", [QUICK, GPT_QUICK, SEEDREAM_QUICK, QWEN_QUICK], ids=lambda fields: fields["model"])
@pytest.mark.parametrize("n", [0, 11])
async def test_n_beyond_its_bounds(fields: dict[str, object], n: int, client: Client) -> None:
    assert wrong(await client.ask({**fields, "n": n})).error["param"] == "n"


@pytest.mark.parametrize("most", [1, 2, 4])
async def test_groups(most: int, client: Client) -> None:
    """As many as the prompt speaks of, up to four."""
    group = {"sequential_image_generation": "auto", "sequential_image_generation_options": {"max_images": most}}
    answer = await client.ask({**SEEDREAM_QUICK, "prompt": f"a series of {most} foxes", **group})
    assert len({one.url for one in unwrapped(answer)}) == most


async def test_a_group_has_four_pictures_at_the_most(client: Client) -> None:
    """Where nobody says how many."""
    answer = await client.ask(
        {**SEEDREAM_QUICK, "prompt": "a series of 9 foxes", "sequential_image_generation": "auto"}
    )
    assert len(unwrapped(answer)) == 4
    options = client.door.job(answer).request.params["sequential_image_generation_options"]
    assert options == {"max_images": 4}


@pytest.mark.parametrize("most", [0, 5, "many"])
async def test_groups_beyond_their_bounds(most: object, client: Client) -> None:
    group = {"sequential_image_generation": "auto", "sequential_image_generation_options": {"max_images": most}}
    told = wrong(await client.ask({**SEEDREAM_QUICK, **group}))
    assert told.error["param"] == "sequential_image_generation_options.max_images"
    assert "from 1 to 4" in told.msg


async def test_no_group(client: Client) -> None:
    disabled = {**SEEDREAM_QUICK, "prompt": "a series of 4 foxes", "sequential_image_generation": "disabled"}
    assert len(unwrapped(await client.ask(disabled))) == 1
    told = wrong(await client.ask({**disabled, "sequential_image_generation": "on"}))
    assert told.error["param"] == "sequential_image_generation"
    assert "disabled, auto" in told.msg


# -- Gemini's fields --


@pytest.mark.parametrize("aspect", ["1:1", "3:2", "2:3", "3:4", "4:3", "4:5", "5:4", "9:16", "16:9", "21:9"])
async def test_ten_aspects(aspect: str, client: Client) -> None:
    answer = await client.ask({**QUICK, "size": aspect})
    (found,) = await client.pictures(unwrapped(answer))
    check_shape(found, aspect, "1K")
    assert "x-pictura-adjusted" not in answer.headers


async def test_another_aspect_becomes_the_nearest(client: Client) -> None:
    answer = await client.ask({**QUICK, "size": "2:1"})
    (found,) = await client.pictures(unwrapped(answer))
    check_shape(found, "16:9", "1K")
    assert adjusted(answer) == "size=2:1→16:9"


@pytest.mark.parametrize(
    ("asked", "given", "told"),
    [("1K", "1K", ""), ("2K", "2K", ""), ("4K", "4K", ""), ("3K", "2K", "image_size=3K→2K")],
)
async def test_image_sizes(asked: str, given: str, told: str, client: Client) -> None:
    answer = await client.ask({**QUICK, "model": "gemini-3-pro-image-preview", "size": "16:9", "image_size": asked})
    (found,) = await client.pictures(unwrapped(answer))
    check_shape(found, "16:9", given)
    assert adjusted(answer) == told


@pytest.mark.parametrize("mime_type", ["image/png", "image/jpeg", "image/webp"])
async def test_formats_of_the_answer(mime_type: str, client: Client) -> None:
    (found,) = await client.pictures(unwrapped(await client.ask({**QUICK, "mime_type": mime_type})))
    assert found.type == mime_type


async def test_a_png_where_nobody_says_anything(client: Client) -> None:
    (found,) = await client.pictures(unwrapped(await client.ask(QUICK)))
    assert found.type == "image/png"


async def test_formats_that_there_are_not(client: Client) -> None:
    told = wrong(await client.ask({**QUICK, "mime_type": "image/x-icon"}))
    assert told.error["param"] == "mime_type"
    assert "png, jpeg, webp" in told.msg
    assert "png, jpeg, webp" in wrong(await client.ask({**QUICK, "mime_type": "image/gif"})).msg


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"temperature": 2.1}, "temperature"),
        ({"temperature": "warm"}, "temperature"),
        ({"top_p": 1.1}, "top_p"),
        ({"response_modalities": "text"}, "response_modalities"),
        ({"contents": "一隻貓"}, "contents"),
        ({"contents": [{"role": "user", "parts": [{"sound": "miau"}]}]}, "contents[0].parts[0]"),
        ({"contents": [{"role": "user", "parts": [{"image": "cat.png"}]}]}, "contents[0].parts[0].image"),
    ],
    ids=str,
)
async def test_what_gemini_does_not_take(fields: dict[str, object], param: str, client: Client) -> None:
    told = wrong(await client.ask({**QUICK, **fields}))
    assert told.error["param"] == param


async def test_a_conversation_keeps_its_order(client: Client) -> None:
    parts = [{"image": data_url(picture(64, 64))}, {"text": "這隻貓"}, {"image": data_url(picture(64, 32))}]
    talk = [
        {"role": "user", "parts": parts},
        {"role": "model", "parts": [{"text": "好的"}, {"image": data_url(picture(32, 64))}]},
        {"role": "user", "parts": [{"text": "再畫一次"}]},
    ]
    answer = await client.ask({"model": QUICK["model"], "contents": talk})
    unwrapped(answer)
    asked = client.door.job(answer).request
    assert asked.prompt == "這隻貓\n再畫一次"
    assert [(turn.role, turn.parts) for turn in asked.turns] == [
        ("user", (0, "這隻貓", 1)),
        ("model", ("好的", 2)),
        ("user", ("再畫一次",)),
    ]
    assert [(image.width, image.height) for image in asked.images] == [(64, 64), (64, 32), (32, 64)]


async def test_contents_win_over_another_prompt(client: Client) -> None:
    answer = await client.ask({**QUICK, "contents": [{"role": "user", "parts": [{"text": OIL}]}]})
    unwrapped(answer)
    assert client.door.job(answer).request.prompt == OIL
    assert adjusted(answer) == "prompt→the conversation's text"


# -- Seedream's fields --


@pytest.mark.parametrize(
    ("model", "size"),
    [
        ("doubao-seedream-4-0-250828", "2304x1728"),
        ("doubao-seedream-4-5-251128", "2304x1728"),
        ("doubao-seedream-3-0-t2i-250415", "1152x864"),
        ("doubao-seedream-4-0-250828", "4096x4096"),
    ],
)
async def test_seedream_s_sizes(model: str, size: str, client: Client) -> None:
    answer = await client.ask({"model": model, "prompt": CAT, "size": size})
    (found,) = await client.pictures(unwrapped(answer))
    assert f"{found.width}x{found.height}" == size
    assert adjusted(answer) == ""


@pytest.mark.parametrize(("tier", "edge"), [("1K", 1024), ("2K", 2048)])
async def test_seedream_s_tiers(tier: str, edge: int, client: Client) -> None:
    (found,) = await client.pictures(unwrapped(await client.ask({**SEEDREAM_QUICK, "size": tier})))
    check_shape(found, "1:1", tier)


async def test_a_size_too_small_becomes_the_nearest(client: Client) -> None:
    answer = await client.ask({**SEEDREAM_QUICK, "model": "doubao-seedream-4-5-251128"})
    (found,) = await client.pictures(unwrapped(answer))
    assert found.width * found.height >= 3_686_400
    assert adjusted(answer) == f"size=1024x1024→{found.width}x{found.height}"


@pytest.mark.parametrize(("scale", "taken"), [(0.9, False), (1, True), (2.5, True), ("10.0", True), (10.1, False)])
async def test_guidance(scale: object, taken: bool, client: Client) -> None:
    fields = {**SEEDREAM_QUICK, "model": "doubao-seedream-3-0-t2i-250415", "guidance_scale": scale}
    answer = await client.ask(fields)
    if taken:
        unwrapped(answer)
        assert client.door.job(answer).request.params["guidance_scale"] == float(str(scale))
    else:
        told = wrong(answer)
        assert told.error["param"] == "guidance_scale"
        assert "from 1 to 10" in told.msg


@pytest.mark.parametrize("fields", [{"watermark": "yes"}, {"seed": "x"}, {"seed": 2**31}], ids=str)
async def test_what_seedream_does_not_take(fields: dict[str, object], client: Client) -> None:
    (param,) = fields
    assert wrong(await client.ask({**SEEDREAM_QUICK, **fields})).error["param"] == param


# -- GPT's fields --


@pytest.mark.parametrize("size", ["1024x1024", "1024x1536", "1536x1024"])
async def test_gpt_s_sizes(size: str, client: Client) -> None:
    answer = await client.ask({**GPT_QUICK, "size": size})
    (found,) = await client.pictures(unwrapped(answer))
    assert f"{found.width}x{found.height}" == size
    assert adjusted(answer) == ""


async def test_a_square_where_nobody_says_anything(door: Door, upstream: Upstream) -> None:
    """It is asked for: the vendor's own default is to choose."""
    unwrapped(await Client(door, HOST, LIVE).ask({"model": MODEL, "prompt": CAT}))
    assert upstream.seen[0].fields["size"] == "1024x1024"


async def test_another_size_becomes_the_nearest(client: Client) -> None:
    answer = await client.ask({**GPT_QUICK, "size": "1920x1080"})
    (found,) = await client.pictures(unwrapped(answer))
    assert (found.width, found.height) == (1536, 1024)
    assert adjusted(answer) == "size=1920x1080→1536x1024"


@pytest.mark.parametrize("quality", ["low", "medium", "high"])
async def test_gpt_s_qualities(quality: str, door: Door, upstream: Upstream) -> None:
    unwrapped(await Client(door, HOST, LIVE).ask({"model": MODEL, "prompt": CAT, "quality": quality}))
    assert upstream.seen[0].fields["quality"] == quality


async def test_another_quality(client: Client) -> None:
    told = wrong(await client.ask({**GPT_QUICK, "quality": "ultra"}))
    assert told.error["param"] == "quality"
    assert "low, medium, high" in told.msg


@pytest.mark.parametrize(
    ("model", "said", "sent", "told"),
    [
        (MODEL, "high", "high", ""),
        (MODEL, "low", "low", ""),
        (MODEL, "auto", None, ""),
        (MODEL, "medium", "low", "input_fidelity=medium→low"),
        (SHARED, "high", None, "input_fidelity=high→none"),
        (SHARED, "medium", None, "input_fidelity=medium→none"),
    ],
)
async def test_fidelity(model: str, said: str, sent: str | None, told: str, door: Door, upstream: Upstream) -> None:
    """`medium` is the router's own word, and newer models take none."""
    fields = {"model": model, "prompt": OIL, "image": data_url(picture()), "input_fidelity": said}
    answer = await Client(door, HOST, LIVE).ask(fields)
    unwrapped(answer)
    assert upstream.seen[0].fields.get("input_fidelity") == sent
    assert adjusted(answer) == told


async def test_another_fidelity(client: Client) -> None:
    fields = {"model": "gpt-image-1", "prompt": OIL, "image": data_url(picture()), "input_fidelity": "total"}
    assert wrong(await client.ask(fields)).error["param"] == "input_fidelity"


async def test_several_pictures(door: Door, upstream: Upstream) -> None:
    """As a list, or in the contents; the vendor gets them in the order sent."""
    one, two = data_url(picture(64, 64)), data_url(picture(64, 32))
    parts = [{"image": one}, {"image": two}, {"text": OIL}]
    for more in ({"image": [one, two], "prompt": OIL}, {"contents": [{"role": "user", "parts": parts}]}):
        unwrapped(await Client(door, HOST, LIVE).ask({"model": MODEL, **more}))
    first, second = ([data for _, data in seen.files] for seen in upstream.seen)
    assert first == second == [picture(64, 64), picture(64, 32)]
    assert upstream.seen[0].prompt == upstream.seen[1].prompt == OIL


# -- Qwen's fields --


@pytest.mark.parametrize(("seed", "taken"), [("4", True), (4, True), ("0", True), ("four", False), ("-1", False)])
async def test_a_seed_as_text(seed: object, taken: bool, client: Client) -> None:
    answer = await client.ask({**QWEN_QUICK, "parameters": {"seed": seed}})
    if taken:
        unwrapped(answer)
        assert client.door.job(answer).request.params["seed"] == int(str(seed))
    else:
        assert str(wrong(answer).error["param"]).endswith("seed")


async def test_qwen_s_parameters(client: Client) -> None:
    message = {"role": "user", "content": [{"text": CAT}]}
    parameters = {"size": "1328*1328", "n": 2, "watermark": False, "prompt_extend": False}
    body = {"model": "qwen-image-plus", "input": {"messages": [message]}, "parameters": parameters}
    answer = await client.ask(body)
    assert [(f.width, f.height) for f in await client.pictures(unwrapped(answer))] == [(1328, 1328)] * 2
    assert client.door.job(answer).request.params == {"watermark": False, "prompt_extend": False}


async def test_qwen_edits_what_its_messages_show(client: Client) -> None:
    shown = [{"image": data_url(picture(512, 512))}, {"image": data_url(picture(512, 600))}, {"text": OIL}]
    body = {"model": "qwen-image-edit-plus", "input": {"messages": [{"role": "user", "content": shown}]}}
    answer = await client.ask(body)
    unwrapped(answer)
    asked = client.door.job(answer).request
    assert (asked.prompt, [image.height for image in asked.images]) == (OIL, [512, 600])


# -- pictures sent --

_TAKEN = [(model, format) for model, (formats, _, _) in INPUTS.items() for format in formats]
_NOT_TAKEN = [(model, format) for model, (_, formats, _) in INPUTS.items() for format in formats]


def edit(model: str, data: bytes, kind: str = "image/png") -> dict[str, object]:
    return {"model": model, "prompt": OIL, "size": "1024x1024", "image": data_url(data, kind)}


@pytest.mark.parametrize(("model", "format"), _TAKEN)
async def test_formats_taken(model: str, format: str, client: Client) -> None:
    answer = await client.ask(edit(model, encoded(format), f"image/{format.lower()}"))
    await client.pictures(unwrapped(answer))
    converted = model == "gpt-image-1-mini" and format == "GIF"
    assert adjusted(answer) == ("image=gif→png" if converted else "")


@pytest.mark.parametrize(("model", "format"), _NOT_TAKEN)
async def test_formats_not_taken(model: str, format: str, client: Client) -> None:
    told = wrong(await client.ask(edit(model, encoded(format), f"image/{format.lower()}")))
    assert told.error["param"] == "image"
    assert f"the picture is {format.lower()}; this model takes" in told.msg


async def test_what_a_gif_becomes(door: Door, upstream: Upstream) -> None:
    answer = await Client(door, HOST, LIVE).ask(edit(MODEL, encoded("GIF"), "image/gif"))
    unwrapped(answer)
    ((_, data),) = upstream.seen[0].files
    assert data.startswith(b"\x89PNG")
    assert adjusted(answer) == "image=gif→png"


@pytest.mark.parametrize("model", INPUTS)
async def test_the_heaviest_picture(model: str, client: Client) -> None:
    _, _, most = INPUTS[model]
    unwrapped(await client.ask(edit(model, heavy(most))))
    told = wrong(await client.ask(edit(model, heavy(most + 1))), 413)
    assert str(most) in told.msg.replace(",", "")


async def test_a_reference_that_is_too_heavy(client: Client, upstream: Upstream) -> None:
    upstream.files["/heavy.png"] = file(heavy(10_000_001))
    told = wrong(await client.ask({**GPT_QUICK, "image": f"{upstream.address}/heavy.png"}), 413)
    assert "larger than 10000000 bytes" in told.msg


async def test_edits_by_form(client: Client) -> None:
    """The page has one path for everything, and its family has the other too."""
    answer = await client.edit({"model": "gpt-image-1-mini", "prompt": OIL}, [png_file("image", picture())])
    assert await client.pictures(unwrapped(answer)) == [Media("image/png", 1024, 1024)]


# -- errors, and models that are gone --


async def test_errors_in_chinese(client: Client) -> None:
    said: dict[str, dict[str, object]] = {
        "参数超出允许范围：n": {**QUICK, "n": 11},
        "该模型不支持此参数值：temperature，可选值：0–2": {**QUICK, "temperature": 3},
        "模型不存在": {**QUICK, "model": "no-such-model"},
        "内容未通过安全审核": {**QUICK, "prompt": "[refuse]"},
    }
    for words, fields in said.items():
        answer = await client.ask(fields, headers=CHINESE)
        assert wrong(answer, answer.status).msg.startswith(words)
    keyless = await client.door.ask(QUICK, path=GENERATIONS, key="", headers={"Host": HOST, **CHINESE})
    assert wrong(keyless, 401).msg.startswith("无效的令牌")


async def test_a_retired_model(client: Client) -> None:
    """A test key draws it; a live key is told what to use instead, in the client's language."""
    fields = {"model": "gpt-image-1", "prompt": CAT}
    unwrapped(await client.ask(fields))
    told = wrong(await client.ask(fields, key=LIVE), 404)
    assert (told.error["code"], told.error["param"]) == ("model_not_found", "model")
    assert "gpt-image-1 was switched off by its vendor on 2026-10-23; use gpt-image-2.5-sunburst instead" in told.msg
    chinese = wrong(await client.ask(fields, key=LIVE, headers=CHINESE), 404)
    assert chinese.msg.startswith("该模型已下线：请改用 gpt-image-2.5-sunburst")


async def test_an_alias_for_a_retired_model(tmp_path: Path, upstream: Upstream) -> None:
    async with configured_door(tmp_path, upstream, Settings(aliases={"gpt-image-1": SHARED})) as door:
        answer = await Client(door, HOST, ADMIN).ask({"model": "gpt-image-1", "prompt": CAT})
        unwrapped(answer)
        assert (upstream.seen[0].fields["model"], door.job(answer).model) == (SHARED, SHARED)


async def test_a_renamed_model_is_the_same(client: Client) -> None:
    """No error names a successor: the preview's name is as good as the model's."""
    answer = await client.ask({**QUICK, "model": "gemini-3-pro-image-preview"})
    unwrapped(answer)
    assert client.door.job(answer).model == "gemini-3-pro-image"
