"""OmniRouters' Omni-Image page (2026-02): every example as it stands there, answered by this house.

Only the key, the task's id and the site of the reference pictures are filled in.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from pictura.core.media import Media
from tests.doors.door import LIVE, MODEL, TEST, Door, channel, look, open_door
from tests.doors.seed import (
    CHINESE,
    GENERATIONS,
    Client,
    check_shape,
    entries,
    filled,
    place_references,
    plain,
    refusal,
    seed_door,
    task,
)
from tests.doors.shell import Shell, needs_curl, open_shell
from tests.upstream import Upstream, running

pytestmark = pytest.mark.asyncio(loop_scope="module")

HOST = "omnirouters.com"
#: Of every picture, empty where nothing stands in them.
KEYS = {"url", "b64_json", "revised_prompt"}

TEXT_TO_IMAGE = """{
"model": "Nano-Banana2",
"resolution": "4K",
"prompt": "一个女孩在海边回头微笑,电影感光影,高清细节",
"aspect_ratio": "16:9"
}"""
IMAGE_TO_IMAGE = """{
"model": "Nano-Banana2",
"resolution": "4K",
"prompt": "将图1的服装换为图2的服装,整体自然协调,时尚杂志风格",
"images": [
"https://example.com/image1.png",
"https://example.com/image2.png"
],
"aspect_ratio": "16:9"
}"""
GPT = """{
"model": "GPT-image-2",
"quality": "low",
"resolution": "4K",
"prompt": "将图1的服装换为图2的服装,整体自然协调,时尚杂志风格",
"images": [
"https://example.com/image1.png",
"https://example.com/image2.png"
],
"aspect_ratio": "16:9"
}"""
REGION = """{
"model": "Nano-Banana2",
"resolution": "4K",
"prompt": "将图1的服装换为图2的服装,整体自然协调,时尚杂志风格",
"images": [
"https://example.com/image1.png",
"https://example.com/image2.png"
],
"aspect_ratio": "16:9",
"input_region": "Mainland"
}"""
KLING = """{
"model": "Kling:3.0-omni",
"resolution": "4K",
"prompt": "一只小猫坐在窗边",
"aspect_ratio": "16:9",
"n": 3
}"""
SEEDREAM = """{
"model": "Seedream:4.5",
"resolution": "4K",
"prompt": "一只小猫坐在窗边",
"n": 3
}"""
SEVERAL_OF_GPT = """{
"model": "GPT-image-2",
"quality": "low",
"resolution": "4K",
"prompt": "将图1的服装换为图2的服装,整体自然协调,时尚杂志风格",
"images": [
"https://example.com/image1.png",
"https://example.com/image2.png"
],
"aspect_ratio": "16:9",
"n": 3
}"""
PANORAMA = """{
"model": "Hunyuan-3d-2.0",
"prompt": "一个雪山湖泊的360度全景图,真实摄影风格"
}"""

CREATE_A_TASK = """curl --location --request POST 'https://omnirouters.com/v1/images/generations?async=true' \\
--header 'Authorization: Bearer sk-xxxx' \\
--header 'Content-Type: application/json' \\
--data-raw '{
"model": "Nano-Banana2",
"resolution": "4K",
"prompt": "将图1的服装换为图2的服装,整体自然协调,时尚杂志风格",
"images": [
"https://example.com/image1.png",
"https://example.com/image2.png"
],
"aspect_ratio": "16:9"
}'"""
POLL = """curl --location --request GET 'https://omnirouters.com/v1/images/generations/{task_id}' \\
--header 'Authorization: Bearer sk-xxxx'"""
QUERY = """curl https://omnirouters.com/v1/images/generations/$TASK_ID \\
-H "Authorization: Bearer $OMNIROUTERS_API_KEY\""""

#: Each example, and pictures, aspect and tier of what it asks for.
EXAMPLES = {
    "text to image": (TEXT_TO_IMAGE, 1, "16:9", "4K"),
    "image to image": (IMAGE_TO_IMAGE, 1, "16:9", "4K"),
    "gpt": (GPT, 1, "16:9", "4K"),
    "region of the references": (REGION, 1, "16:9", "4K"),
    "several of kling": (KLING, 3, "16:9", "4K"),
    "several of seedream": (SEEDREAM, 3, "", "4K"),
    "several of gpt": (SEVERAL_OF_GPT, 3, "16:9", "4K"),
    "panorama": (PANORAMA, 1, "2:1", ""),
}
#: Quickly drawn.
SMALL = {"model": "Nano-Banana2", "resolution": "512", "prompt": "一只小猫坐在窗边"}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shared_door(tmp_path_factory: pytest.TempPathFactory, shared_upstream: Upstream) -> AsyncIterator[Door]:
    async with seed_door(tmp_path_factory.mktemp("house"), shared_upstream) as door:
        yield door


@pytest.fixture
def client(door: Door) -> Client:
    place_references(door.upstream)
    return Client(door, HOST)


# -- the examples --


@pytest.mark.parametrize("name", EXAMPLES)
async def test_examples(name: str, client: Client, upstream: Upstream) -> None:
    body, count, aspect, tier = EXAMPLES[name]
    answer = await client.ask(body)
    shown = plain(answer, KEYS)
    assert len({one.url for one in shown}) == count
    assert all(one.url.startswith(f"http://{HOST}/files/") for one in shown)
    for found in await client.pictures(shown):
        check_shape(found, aspect, tier)
    assert upstream.fetched == (["/image1.png", "/image2.png"] if "example.com" in body else [])
    assert not {"x-pictura-adjusted", "x-pictura-ignored", "x-pictura-short"} & set(answer.headers)
    assert answer.headers["x-pictura-sandbox"] == "true"


async def test_the_references_are_drawn_from(client: Client, upstream: Upstream) -> None:
    """Both of them, in the order sent, as they were fetched."""
    edit = {**SMALL, "model": MODEL, "resolution": "1K", "images": [f"{upstream.address}/image{i}.png" for i in (1, 2)]}
    plain(await client.ask(edit, key=LIVE), KEYS)
    assert [(look(data).width, look(data).height) for _, data in upstream.seen[0].files] == [(120, 80), (80, 120)]


@pytest_asyncio.fixture(loop_scope="module")
async def shell(door: Door, tmp_path: Path) -> AsyncIterator[Shell]:
    async with open_shell(tmp_path, (HOST,), door.port) as shell:
        yield shell


@needs_curl
async def test_a_task_by_curl(client: Client, shell: Shell, upstream: Upstream) -> None:
    created = await shell.ask(filled(CREATE_A_TASK, upstream).replace("sk-xxxx", TEST))
    assert set(created.fields) >= {"id", "task_id", "status", "created"}
    id = task(created, "queued").task_id
    assert created.headers["retry-after"] == "5"

    await client.outcome(id)
    polled = await shell.ask(POLL.replace("{task_id}", id).replace("sk-xxxx", TEST))
    queried = await shell.ask(QUERY, {"TASK_ID": id, "OMNIROUTERS_API_KEY": TEST})
    for answer in (polled, queried):
        task(answer, "completed")
        assert set(answer.fields) == {"id", "task_id", "object", "status", "created", "data"}
        (shown,) = entries(answer.fields, KEYS)
        assert shown.url.startswith(f"https://{HOST}/files/")
        (found,) = await client.pictures([shown])
        check_shape(found, "16:9", "4K")


# -- parameters --


@pytest.mark.parametrize(
    ("model", "resolution", "aspect"),
    [
        ("Nano-Banana2", "1K", "1:1"),
        ("Nano-Banana2", "2K", "3:2"),
        ("nano-banana2", "1k", "9:16"),
        ("GPT-image-2", "1K", "16:9"),
        ("GPT-image-2", "720P", "9:16"),
        ("GPT-image-2", "1080P", "16:9"),
        ("Kling:3.0-omni", "1K", "21:9"),
        ("Kling:3.0-omni", "2K", "3:4"),
        ("Seedream:4.5", "2K", ""),
        ("vod-gg-3.1", "720P", "16:9"),
    ],
)
async def test_resolutions_and_aspects(model: str, resolution: str, aspect: str, client: Client) -> None:
    fields = {"model": model, "prompt": "一只小猫", "resolution": resolution}
    answer = await client.ask({**fields, "aspect_ratio": aspect} if aspect else fields)
    (found,) = await client.pictures(plain(answer, KEYS))
    check_shape(found, aspect, resolution.upper())
    assert "x-pictura-adjusted" not in answer.headers


@pytest.mark.parametrize(
    ("fields", "param", "allowed"),
    [
        ({"resolution": "9K"}, "resolution", "2K"),
        ({"resolution": "720P"}, "resolution", "512, 1K, 2K, 4K"),
        ({"resolution": "1080P", "aspect_ratio": "16:9"}, "resolution", "512, 1K, 2K, 4K"),
        ({"aspect_ratio": "7:5"}, "aspect_ratio", "1:1, 2:3"),
        ({"aspect_ratio": "wide"}, "aspect_ratio", "16:9"),
        ({"model": "Seedream:4.5", "resolution": "1K"}, "resolution", "2K, 4K"),
        ({"model": "GPT-image-2", "quality": "ultra", "resolution": "1K"}, "quality", "low, medium, high"),
        ({"images": "image1.png"}, "images", "http(s) URL"),
        ({"images": ["http://192.168.0.1/image1.png"]}, "image", "private network"),
    ],
    ids=str,
)
async def test_values_that_are_refused(fields: dict[str, object], param: str, allowed: str, client: Client) -> None:
    """By the name under which they were sent, with what would be taken."""
    wrong = refusal(await client.ask({**SMALL, **fields}))
    assert (wrong.type, wrong.code, wrong.param) == ("new_api_error", "invalid_request", param)
    assert allowed in wrong.message


async def test_a_reference_that_is_not_there(client: Client, upstream: Upstream) -> None:
    wrong = refusal(await client.ask({**SMALL, "images": [f"{upstream.address}/image3.png"]}))
    assert wrong.param == "image"
    assert "/image3.png could not be fetched: it answered 404" in wrong.message


@pytest.mark.parametrize("quality", ["low", "medium", "high", "auto", "hd", "standard"])
async def test_qualities(quality: str, door: Door, upstream: Upstream) -> None:
    fields = {"model": "GPT-image-2", "prompt": "一只小猫", "resolution": "1K", "quality": quality}
    plain(await Client(door, HOST, LIVE).ask(fields), KEYS)
    asked = {"hd": "high", "standard": "medium", "auto": None}.get(quality, quality)
    assert upstream.seen[0].fields.get("quality") == asked


@pytest.mark.parametrize(("n", "count"), [(1, 1), ("2", 2), (10, 10)])
async def test_n(n: object, count: int, client: Client) -> None:
    answer = await client.ask({**SMALL, "n": n})
    assert len({one.url for one in plain(answer, KEYS)}) == count


@pytest.mark.parametrize(
    ("model", "resolution"),
    [("Kling:3.0-omni", "1K"), ("Seedream:4.5", "2K"), ("GPT-image-2", "1K"), ("Nano-Banana2", "512")],
)
async def test_several_pictures_are_not_one(model: str, resolution: str, client: Client) -> None:
    """Whether the vendor counts or is asked several times: nobody wants the same picture thrice."""
    fields = {"model": model, "prompt": "一只小猫坐在窗边", "resolution": resolution, "n": 3}
    shown = plain(await client.ask(fields), KEYS)
    assert len({await client.file(one) for one in shown}) == 3


@pytest.mark.parametrize("n", [0, 11, -1, 1.5, "many"])
async def test_n_beyond_its_bounds(n: object, client: Client) -> None:
    wrong = refusal(await client.ask({**SMALL, "n": n}))
    assert wrong.param == "n"
    assert "integer" in wrong.message


@pytest.mark.parametrize("model", ["Nano-Banana2", "NANO-BANANA2", "gemini-3.1-flash-image", "Nano-Banana-2"])
async def test_names_of_a_model(model: str, client: Client) -> None:
    answer = await client.ask({**SMALL, "model": model})
    plain(answer, KEYS)
    assert client.door.job(answer).model == "gemini-3.1-flash-image"


async def test_base64_where_it_is_asked_for(client: Client) -> None:
    (shown,) = plain(await client.ask({**SMALL, "response_format": "b64_json"}), KEYS)
    assert (shown.url, bool(shown.b64_json)) == ("", True)
    assert await client.pictures([shown]) == [Media("image/png", 512, 512)]


async def test_fields_that_nobody_knows_are_passed_over(client: Client) -> None:
    answer = await client.ask({**SMALL, "webHook": "https://a.example", "shutProgress": True})
    plain(answer, KEYS)
    assert answer.headers["x-pictura-ignored"] == "webHook, shutProgress"


# -- where the references lie --


@pytest.mark.parametrize("region", ["Mainland", "Oversea", "OverseaUSWest"])
@pytest.mark.parametrize("model", ["Nano-Banana2", "vod-gg-3.1"])
async def test_regions(model: str, region: str, client: Client) -> None:
    """For a vendor that knows regions and for one that does not."""
    answer = await client.ask({**SMALL, "model": model, "resolution": "1K", "input_region": region})
    plain(answer, KEYS)
    assert client.door.job(answer).request.params["input_region"] == region


@pytest.mark.parametrize("region", ["Moon", "mainland", 1])
async def test_another_region(region: object, client: Client) -> None:
    wrong = refusal(await client.ask({**SMALL, "input_region": region}))
    assert wrong.param == "input_region"
    if isinstance(region, str):
        assert f"must be one of Mainland, Oversea, OverseaUSWest, not '{region}'" in wrong.message


async def test_a_region_is_a_preference(tmp_path: Path) -> None:
    """It goes before priority, and where nobody is there, elsewhere will do. A vendor without regions hears nothing."""
    async with running(Upstream()) as home, running(Upstream()) as abroad:
        channels = (
            channel(home, "home", models=(MODEL,), region="Mainland"),
            channel(abroad, "abroad", models=(MODEL,), region="Oversea", priority=1),
        )
        async with open_door(tmp_path, home, channels=channels) as door:
            client = Client(door, HOST, LIVE)
            for region, asked in (("Mainland", home), ("Oversea", abroad), ("OverseaUSWest", home)):
                plain(await client.ask({"model": MODEL, "prompt": "一只小猫", "input_region": region}), KEYS)
                assert len(asked.seen) == 1 and "input_region" not in asked.seen[0].fields
                home.reset()
                abroad.reset()


# -- errors --


@pytest.mark.parametrize("headers", [{}, CHINESE], ids=["English", "Chinese"])
async def test_a_task_that_nobody_knows(headers: dict[str, str], client: Client) -> None:
    """Flat, other than all the rest."""
    answer = await client.get(f"{GENERATIONS}/task_0123456789abcdef", headers=headers)
    assert (answer.status, set(answer.fields)) == (404, {"code", "message", "data"})
    assert (answer.fields["code"], answer.fields["data"]) == ("task_not_exist", None)
    assert ("任务不存在" in str(answer.fields["message"])) == bool(headers)


async def test_a_task_that_failed(client: Client) -> None:
    """`message` stands beside `error`."""
    created = await client.ask({**SMALL, "prompt": "[refuse]"}, path=f"{GENERATIONS}?async=true")
    id = task(created, "queued").id
    answer = await client.outcome(id)
    told = task(answer, "failed")
    assert set(answer.fields) == {"id", "task_id", "object", "status", "error", "message"}
    assert answer.fields["error"] == {
        "message": told.message,
        "type": "upstream_error",
        "param": "",
        "code": "content_policy_violation",
    }
    chinese = await client.get(f"{GENERATIONS}/{id}", headers=CHINESE)
    assert task(chinese, "failed").message.startswith("内容未通过安全审核")


async def test_errors_in_chinese(client: Client) -> None:
    said: dict[str, dict[str, object]] = {
        "参数超出允许范围：n": {**SMALL, "n": 11},
        "该模型不支持此参数值：resolution，可选值：auto, 1:1": {**SMALL, "resolution": "720P"},
        "模型不存在": {**SMALL, "model": "Nano-Banana9"},
        "内容未通过安全审核": {**SMALL, "prompt": "[refuse]"},
    }
    for words, fields in said.items():
        answer = await client.ask(fields, headers=CHINESE)
        assert refusal(answer, answer.status).message.startswith(words)
    keyless = await client.door.ask(SMALL, path=GENERATIONS, key="", headers={"Host": HOST, **CHINESE})
    assert refusal(keyless, 401).message.startswith("无效的令牌")


async def test_errors_in_english_for_whoever_prefers_it(client: Client) -> None:
    for languages in ({}, {"Accept-Language": "en-US,en;q=0.9,zh;q=0.8"}, {"Accept-Language": "de"}):
        assert refusal(await client.ask({**SMALL, "n": 11}, headers=languages)).message.startswith("n must be")


async def test_one_of_several_ways_to_name_the_dialect(door: Door) -> None:
    """The prefix does what the Host does."""
    answer = await door.ask(SMALL, path=f"/omnirouters{GENERATIONS}", key=TEST)
    (shown,) = plain(answer, KEYS)
    assert shown.url.startswith(f"{door.url}/files/")
    lost = await door.send("GET", f"/omnirouters{GENERATIONS}/task_0", key=TEST)
    assert lost.fields["code"] == "task_not_exist"
