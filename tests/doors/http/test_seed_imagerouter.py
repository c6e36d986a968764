"""The curl lines of ImageRouter's skill page (2026-02) as they stand there, answered by this house.

Only the key and the path of one file are filled in.
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Mapping
from pathlib import Path

import msgspec
import pytest
import pytest_asyncio

from pictura.core.media import Media
from pictura.infra.config import ServerSettings
from tests.doors.door import (
    ADMIN,
    LIVE,
    MODEL,
    PRICE,
    SHARED,
    TEST,
    Answer,
    Door,
    Drawn,
    answering,
    form,
    look,
    open_door,
    png_file,
    until,
)
from tests.doors.shell import Shell, needs_curl, needs_jq, open_shell
from tests.upstream import KEY, Upstream, data_with, draw_by_url, picture

pytestmark = pytest.mark.asyncio(loop_scope="module")

HOST = "api.imagerouter.io"
APP_HOST = "backend.imagerouter.io"

POPULAR = "curl -X POST 'https://backend.imagerouter.io/operations/get-popular-models'"
BY_NAME = 'curl "https://api.imagerouter.io/v1/models?type=image&sort=date&name=gemini"'
EVERYTHING = 'curl "https://api.imagerouter.io/v1/models?type=image&sort=date&limit=1000"'

QUICK_START = """curl 'https://api.imagerouter.io/v1/openai/images/generations' \\
  -H 'Authorization: Bearer YOUR_API_KEY' \\
  --json '{
    "prompt": "日落时宁静的山景",
    "model": "test/test",
    "quality": "auto",
    "size": "auto",
    "response_format": "url",
    "output_format": "webp"
  }'"""
TEXT_TO_IMAGE = """curl 'https://api.imagerouter.io/v1/openai/images/edits' \\
  -H 'Authorization: Bearer YOUR_API_KEY' \\
  -F 'prompt=夜晚的赛博朋克城市' \\
  -F 'model=test/test' \\
  -F 'quality=high' \\
  -F 'size=1024x1024' \\
  -F 'response_format=url' \\
  -F 'output_format=webp'"""
IMAGE_TO_IMAGE = """curl 'https://api.imagerouter.io/v1/openai/images/edits' \\
  -H 'Authorization: Bearer YOUR_API_KEY' \\
  -F 'prompt=将其转换为水彩画' \\
  -F 'model=test/test' \\
  -F 'quality=auto' \\
  -F 'size=auto' \\
  -F 'response_format=url' \\
  -F 'output_format=webp' \\
  -F 'image[]=@/path/to/your/image.webp'"""
SEVERAL_IMAGES = """curl 'https://api.imagerouter.io/v1/openai/images/edits' \\
  -H 'Authorization: Bearer YOUR_API_KEY' \\
  -F 'prompt=组合这些图像' \\
  -F 'model=test/test' \\
  -F 'image[]=@image1.webp' \\
  -F 'image[]=@image2.webp' \\
  -F 'image[]=@image3.webp'"""
WITH_MASK = """curl 'https://api.imagerouter.io/v1/openai/images/edits' \\
  -H 'Authorization: Bearer YOUR_API_KEY' \\
  -F 'prompt=用花朵填充蒙版区域' \\
  -F 'model=test/test' \\
  -F 'image[]=@original.webp' \\
  -F 'mask[]=@mask.webp'"""
QUICK_TEST = """curl 'https://api.imagerouter.io/v1/openai/images/generations' \\
  -H 'Authorization: Bearer YOUR_API_KEY' \\
  --json '{"prompt":"测试图像","model":"test/test"}'"""
DOWNLOAD = """curl 'https://api.imagerouter.io/v1/openai/images/generations' \\
  -H 'Authorization: Bearer YOUR_API_KEY' \\
  --json '{"prompt":"抽象艺术","model":"test/test"}' \\
  | jq -r '.data[0].url' \\
  | xargs curl -o output.webp"""

DRAWING = {
    "quick start": QUICK_START,
    "text to image": TEXT_TO_IMAGE,
    "image to image": IMAGE_TO_IMAGE,
    "several images": SEVERAL_IMAGES,
    "with mask": WITH_MASK,
    "quick test": QUICK_TEST,
}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shared_door(tmp_path_factory: pytest.TempPathFactory, shared_upstream: Upstream) -> AsyncIterator[Door]:
    server = ServerSettings(trusted_proxies=("127.0.0.0/8",))
    async with open_door(tmp_path_factory.mktemp("house"), shared_upstream, server=server) as door:
        yield door


# -- curl itself --


@pytest_asyncio.fixture(loop_scope="module")
async def shell(door: Door, tmp_path: Path) -> AsyncIterator[Shell]:
    """With the files that the examples name."""
    async with open_shell(tmp_path, (HOST, APP_HOST), door.port) as shell:
        for name in ("image1", "image2", "image3", "original"):
            shell.put(f"{name}.webp", picture(format="webp"))
        shell.put("mask.webp", picture(format="webp", mode="RGBA"))
        yield shell


def filled(line: str) -> str:
    """A line with its key and the path of its one file."""
    return line.replace("YOUR_API_KEY", TEST).replace("/path/to/your/image.webp", "image1.webp")


async def check_drawn(door: Door, body: bytes, base: str, started_ms: float) -> bytes:
    """The page's envelope: milliseconds, latency, cost, and a URL whose file is what it says. Gives the file."""
    fields = msgspec.json.decode(body, type=dict[str, object])
    assert set(fields) == {"created", "data", "latency", "cost"}
    drawn = msgspec.json.decode(body, type=Drawn)
    assert started_ms - 1000 <= drawn.created <= time.time() * 1000 + 1000
    assert 0 <= drawn.latency <= time.time() * 1000 - started_ms + 1
    assert drawn.cost == 0
    (shown,) = drawn.data
    assert shown.url.startswith(f"{base}/files/")
    file = await door.send("GET", door.url + shown.url.removeprefix(base))
    assert file.status == 200
    assert file.headers["content-type"] == "image/webp"
    return file.body


@needs_curl
@pytest.mark.parametrize("name", DRAWING)
async def test_curl_draws(name: str, door: Door, shell: Shell) -> None:
    started_ms = time.time() * 1000
    told = await shell.run(filled(DRAWING[name]))
    file = await check_drawn(door, told, f"https://{HOST}", started_ms)
    assert look(file) == Media("image/webp", 1024, 1024)


@needs_curl
async def test_curl_lists(door: Door, shell: Shell) -> None:
    popular = msgspec.json.decode(await shell.run(POPULAR), type=dict[str, list[dict[str, object]]])
    assert len(popular["json"]) == 10
    gemini = msgspec.json.decode(await shell.run(BY_NAME), type=dict[str, dict[str, object]])
    assert gemini
    assert all("gemini" in str(entry).lower() or "gemini" in name for name, entry in gemini.items())
    everything = msgspec.json.decode(await shell.run(EVERYTHING), type=dict[str, dict[str, object]])
    assert set(everything) == {listing.card.id for listing in door.house.catalog.all()}
    dates = [str(entry["release_date"]) for entry in everything.values()]
    assert dates == sorted(dates, reverse=True)


@needs_curl
@needs_jq
async def test_curl_downloads(shell: Shell) -> None:
    """The page's last line: draw, take the URL out, save the file."""
    await shell.run(filled(DOWNLOAD))
    assert look((shell.folder / "output.webp").read_bytes()) == Media("image/webp", 1024, 1024)


# -- the same by every way that names the dialect --

WAYS: Mapping[str, tuple[str, str]] = {
    "by host": (HOST, ""),
    "by the app's host": (APP_HOST, ""),
    "by prefix": ("", "/imagerouter"),
    "by the path alone": ("", ""),
}


async def post(door: Door, way: str, path: str, kind: str, body: bytes, key: str = TEST) -> Answer:
    host, prefix = WAYS[way]
    headers = {"Content-Type": kind, **({"Host": host} if host else {})}
    return await door.send("POST", prefix + path, body, key=key, headers=headers)


@pytest.mark.parametrize("way", WAYS)
async def test_generations(way: str, door: Door) -> None:
    started_ms = time.time() * 1000
    body = msgspec.json.encode({"prompt": "测试图像", "model": "test/test"})
    answer = await post(door, way, "/v1/openai/images/generations", "application/json", body)
    assert answer.status == 200
    base = f"http://{WAYS[way][0]}" if WAYS[way][0] else door.url
    file = await check_drawn(door, answer.body, base, started_ms)
    assert look(file) == Media("image/webp", 1024, 1024)
    assert answer.headers["x-pictura-sandbox"] == "true"


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("fields", [("image", "mask"), ("image[]", "mask[]")], ids=str)
async def test_edits(way: str, fields: tuple[str, str], door: Door) -> None:
    kind, body = form(
        {"prompt": "将其转换为水彩画", "model": "test/test", "size": "512x256"},
        [png_file(fields[0], picture()), png_file(fields[1], picture(mode="RGBA"))],
    )
    answer = await post(door, way, "/v1/openai/images/edits", kind, body)
    file = await door.send("GET", door.url + answer.url[answer.url.index("/files/") :])
    assert look(file.body) == Media("image/webp", 512, 256)


async def test_both_paths_take_both_kinds_of_bodies(door: Door) -> None:
    kind, body = form({"prompt": "夜晚的赛博朋克城市", "model": "test/test"})
    assert (await post(door, "by host", "/v1/openai/images/generations", kind, body)).status == 200
    body = msgspec.json.encode({"prompt": "组合这些图像", "model": "test/test", "image": []})
    assert (await post(door, "by host", "/v1/openai/images/edits", "application/json", body)).status == 200
    assert (await post(door, "by host", "/v1/images/generations", "application/json", body)).status == 200


# -- formats and deliveries --


async def ask(door: Door, key: str = TEST, model: str = "test/test", **fields: object) -> Answer:
    body = {"prompt": "测试图像", "model": model, **fields}
    return await door.ask(body, path="/v1/openai/images/generations", key=key)


@pytest.mark.parametrize(("named", "type"), [("webp", "webp"), ("jpeg", "jpeg"), ("JPG", "jpeg"), ("png", "png")])
async def test_formats(named: str, type: str, door: Door) -> None:
    answer = await ask(door, output_format=named, size="640x384")
    file = await door.send("GET", answer.url)
    assert file.headers["content-type"] == f"image/{type}"
    found = look(file.body)
    assert (found.type, found.width, found.height) == (f"image/{type}", 640, 384)


@pytest.mark.parametrize("size", ["auto", "1024x1024", "512×512", "512*512", "512X512"])
async def test_sizes(size: str, door: Door) -> None:
    answer = await ask(door, size=size, response_format="b64_json")
    assert look(answer.picture).width == (512 if size.startswith("512") else 1024)


async def test_b64_json_is_kept_as_well(door: Door) -> None:
    answer = await ask(door, response_format="b64_json")
    assert look(answer.picture) == Media("image/webp", 1024, 1024)
    job = door.job(answer)
    assert job.request.prompt == "测试图像"
    assert job.result is not None
    assert door.house.blobs.open(job.result.pictures[0].key).size == len(answer.picture)


async def test_nothing_streams(door: Door) -> None:
    answer = await ask(door, stream=True, partial_images=2)
    assert answer.drawn.data[0].url
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["x-pictura-ignored"] == "stream, partial_images"


async def test_b64_ephemeral_is_not_kept(door: Door, upstream: Upstream, caplog: pytest.LogCaptureFixture) -> None:
    secret = "a fox that nobody may know of"
    before = door.outputs()
    kind, body = form(
        {"prompt": secret, "model": MODEL, "response_format": "b64_ephemeral"}, [png_file("image[]", picture())]
    )
    answer = await post(door, "by prefix", "/v1/openai/images/edits", kind, body, key=LIVE)
    assert look(answer.picture).type == "image/webp"
    assert answer.drawn.cost == PRICE / 1_000_000
    await until(lambda: not door.left_behind())
    assert door.outputs() == before
    job = door.job(answer)
    assert (job.request.prompt, job.request.images) == ("", ())
    assert secret not in caplog.text
    assert upstream.seen[0].prompt == secret


async def test_b64_ephemeral_leaves_nothing_in_the_database(door: Door, upstream: Upstream) -> None:
    secret = "another fox that nobody may know of"
    upstream.queue.append(data_with(picture(), revised_prompt=f"{secret}, in oil"))
    answer = await ask(door, LIVE, MODEL, response_format="b64_ephemeral")
    rows = door.house.database.read(
        lambda tx: [
            tx.all("SELECT * FROM jobs WHERE id = ?", (answer.headers["x-pictura-job"],)),
            tx.all("SELECT * FROM assets WHERE job_id = ?", (answer.headers["x-pictura-job"],)),
        ]
    )
    assert secret not in str(rows[0])
    assert rows[1] == []


async def test_a_vendor_s_url_becomes_one_of_this_house(door: Door, upstream: Upstream) -> None:
    """The upstream's own URL, signature and all, is not handed on."""
    upstream.always = draw_by_url
    answer = await ask(door, LIVE, SHARED, size="640x1024", output_format="png")
    assert answer.url.startswith(f"{door.url}/files/")
    assert look((await door.send("GET", answer.url)).body) == Media("image/png", 640, 1024)
    assert answer.drawn.cost == 0.04


async def test_n_counts(door: Door) -> None:
    answer = await ask(door, n=3)
    assert len({shown.url for shown in answer.drawn.data}) == 3


# -- lists and accounts --


async def listed(door: Door, path: str, key: str = "") -> dict[str, dict[str, object]]:
    answer = await door.send("GET", f"/imagerouter{path}", key=key)
    return msgspec.json.decode(answer.body, type=dict[str, dict[str, object]])


async def test_popular_models_by_use_and_then_in_catalogue_order(door: Door) -> None:
    for _ in range(2):
        await ask(door)
    # Uses are counted once a minute; another server counts anew.
    async with answering(door.house) as port:
        path = f"http://127.0.0.1:{port}/operations/get-popular-models"
        answer = await door.send("POST", path, headers={"Host": APP_HOST})
    ten = msgspec.json.decode(answer.body, type=dict[str, list[dict[str, object]]])["json"]
    assert len(ten) == 10
    assert ten[0]["id"] == ten[0]["name"] == "test/test"
    assert int(str(ten[0]["count"])) >= 2
    unused = [entry["id"] for entry in ten if not entry["count"]]
    catalogue = [listing.card.id for listing in door.house.catalog.all()]
    assert unused == [name for name in catalogue if name in unused]


async def test_the_model_list_needs_no_key(door: Door) -> None:
    models = await listed(door, "/v1/models")
    entry = models["test/test"]
    assert set(entry) >= {"providers", "release_date", "output", "supported_params"}
    assert entry["output"] == ["image"]
    assert entry["supported_params"] == {"mask": True, "quality": True, "edit": True}
    served = await listed(door, "/v1/models", key=LIVE)
    assert set(served) == {MODEL, SHARED, "test/test", "somebody/new-model"}


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("name=GPT-image-2.5", {"gpt-image-2.5-flare", "gpt-image-2.5-sunburst"}),
        ("provider=test", {"test/test"}),
        ("name=test/test&free=true", {"test/test"}),
        ("name=test/test&free=false", set()),
        ("type=video", set()),
        ("name=no-such-model", set()),
    ],
)
async def test_filters(query: str, expected: set[str], door: Door) -> None:
    assert set(await listed(door, f"/v1/models?{query}")) == expected


async def test_sorted_and_cut(door: Door) -> None:
    names = list(await listed(door, "/v1/models?sort=name"))
    assert names == sorted(names, key=str.lower)
    assert list(await listed(door, "/v1/models?sort=name&limit=3")) == names[:3]


async def test_one_model_with_slashes(door: Door) -> None:
    answer = await door.send("GET", "/v1/models/test/test", headers={"Host": HOST})
    assert answer.fields["inputs"] == {"image": True, "mask": True, "quality": True, "size": True}
    answer = await door.send("GET", "/v2/models/test%2Ftest")
    assert answer.fields["id"] == "test/test"
    answer = await door.send("GET", "/v1/models/no/such", headers={"Host": HOST})
    assert (answer.status, answer.error.type, answer.error.code) == (404, "invalid_request_error", "model_not_found")
    answer = await door.send("GET", "/v2/models?inputType=mask&fields=inputs")
    entries = msgspec.json.decode(answer.body, type=list[dict[str, object]])
    assert entries and all(set(entry) == {"id", "inputs"} for entry in entries)


@pytest.mark.parametrize(
    "model", ["openai/gpt-image-2", "GPT-IMAGE-2", "openai/gpt-image-2:free", "gpt-image-2-2026-04-21"]
)
async def test_names_that_resolve(model: str, door: Door, upstream: Upstream) -> None:
    assert (await ask(door, LIVE, model)).status == 200
    assert upstream.seen[0].fields["model"] == SHARED


async def test_credits(door: Door) -> None:
    answer = await door.send("GET", "/v1/credits?by_api_key=true", key=LIVE, headers={"Host": HOST})
    purse = door.purse()
    assert answer.fields["remaining_credits"] == f"{purse.available / 1_000_000:.4f}"
    assert answer.fields["total_deposits"] == "100.0000"
    assert float(str(answer.fields["credit_usage"])) == (100_000_000 - purse.balance) / 1_000_000
    (usage,) = msgspec.convert(answer.fields["usage_by_api_key"], list[dict[str, object]])
    assert usage["credit_usage"] == answer.fields["credit_usage"]
    for secret in (ADMIN, LIVE, TEST, KEY):
        assert secret not in answer.body.decode()


async def test_auth_test(door: Door) -> None:
    answer = await door.send("POST", "/v1/auth/test", key=LIVE)
    assert answer.fields == {"success": True, "credits": door.purse().available // 100}
    assert (await door.send("POST", "/v1/auth/test", key=TEST)).fields == {"success": True, "credits": None}
    assert (await door.send("POST", "/v1/auth/test", key="sk-nobodys")).status == 401


async def test_a_browser_may_call(door: Door) -> None:
    asked = {"Origin": "https://app.example", "Access-Control-Request-Method": "POST"}
    answer = await door.send("OPTIONS", "/v1/openai/images/generations", headers=asked)
    assert answer.status == 204
    assert answer.headers["access-control-allow-origin"] == "*"
