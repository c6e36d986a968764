"""The simulators on the gateway's own port: vendors' own SDKs draw there with a client's test key."""

from __future__ import annotations

import asyncio
import base64
import errno
import json
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager

import aiohttp
import fal_client.client
import httpx
import msgspec
import openai
import pytest
from fal_client import AsyncClient, FalClientHTTPError
from google import genai
from google.genai import errors, types
from openai import AsyncOpenAI, DefaultAsyncHttpxClient
from runware import IImageInference, Runware
from runware.utils import RunwareAPIError
from tencentcloud.common.credential import Credential
from tencentcloud.common.exception.tencent_cloud_sdk_exception import TencentCloudSDKException
from tencentcloud.common.profile.client_profile import ClientProfile
from tencentcloud.common.profile.http_profile import HttpProfile
from tencentcloud.hunyuan.v20230901 import models
from tencentcloud.hunyuan.v20230901.hunyuan_client import HunyuanClient

from pictura.core.media import Media
from pictura.doors.http import tunnel
from pictura.doors.http.sandbox import MOST_BYTES, target
from pictura.infra.config import ServerSettings
from pictura.sandbox.base import BASE_HEADER, CLIENT_HEADER, SECRET
from tests.doors.door import (
    LIVE,
    TEST,
    Answer,
    Door,
    answering,
    connected,
    data_url,
    head,
    look,
    open_door,
    read_answer,
    until,
)
from tests.sandbox.test_comfyui import TEXT_TO_IMAGE
from tests.upstream import Upstream, noise, picture, reset_in_the_answer, stream

pytestmark = pytest.mark.asyncio(loop_scope="module")

OPENAI = "/sandbox/openai/v1/images/generations"
WRONG = "sk-test-nobodys-0123456789"
FOX = {"model": "gpt-image-1-mini", "prompt": "a fox", "size": "1024x1024", "quality": "low"}


async def fetched(door: Door, url: str) -> Media:
    """What lies under a URL of an answer, which leads to the gateway and nowhere else."""
    assert url.startswith(f"{door.url}/sandbox/files/"), url
    answer = await door.send("GET", url)
    assert (answer.status, answer.headers["x-pictura-sandbox"]) == (200, "true")
    return look(answer.body)


def code(answer: Answer) -> str:
    """Of an error in OpenAI's own words."""
    return str(json.loads(answer.body)["error"]["code"])


# -- vendors' own SDKs --


@asynccontextmanager
async def openai_sdk(door: Door, key: str = TEST) -> AsyncIterator[AsyncOpenAI]:
    http = DefaultAsyncHttpxClient(trust_env=False)
    base_url = f"{door.url}/sandbox/openai/v1"
    async with AsyncOpenAI(api_key=key, base_url=base_url, max_retries=0, http_client=http, timeout=20) as sdk:
        yield sdk


async def test_openai_draws(door: Door) -> None:
    async with openai_sdk(door) as sdk:
        answer = await sdk.images.generate(model="gpt-image-1-mini", prompt="a fox", quality="low")
        assert answer.data and look(base64.b64decode(answer.data[0].b64_json or "")) == Media("image/png", 1024, 1024)
        hosted = await sdk.images.generate(model="dall-e-3", prompt="a fox", response_format="url")
        assert hosted.data and await fetched(door, hosted.data[0].url or "") == Media("image/png", 1024, 1024)


async def test_openai_edits_a_picture_of_many_bytes(door: Door) -> None:
    large = picture(3000, 3000, "bmp")
    async with openai_sdk(door) as sdk:
        edited = await sdk.images.edit(model="gpt-image-1-mini", prompt="a hat", image=("a.png", picture(512, 512)))
        assert edited.data and edited.data[0].b64_json
        with pytest.raises(openai.BadRequestError):
            await sdk.images.edit(model="gpt-image-1-mini", prompt="a hat", image=("a.bmp", large))


async def test_openai_streams(door: Door) -> None:
    async with openai_sdk(door) as sdk:
        events = await sdk.images.generate(
            model="gpt-image-1-mini", prompt="a fox", quality="low", stream=True, partial_images=2
        )
        kinds = [event.type async for event in events]
    assert kinds == ["image_generation.partial_image"] * 2 + ["image_generation.completed"]


@pytest.mark.parametrize("key", [WRONG, LIVE, "sk-\u00e9"])
async def test_openai_knows_no_other_keys(key: str, door: Door) -> None:
    """A key that spends money opens nothing here, and is told nothing but what a wrong one is told."""
    headers = {"Authorization": f"Bearer {key}"}
    answer = await door.ask(FOX, path=OPENAI, key="", headers=headers)
    assert (answer.status, code(answer)) == (401, "invalid_api_key")


async def test_openai_says_so_in_its_own_errors(door: Door) -> None:
    async with openai_sdk(door, WRONG) as sdk:
        with pytest.raises(openai.AuthenticationError, match="Incorrect API key provided"):
            await sdk.images.generate(model="gpt-image-1-mini", prompt="a fox")
    async with openai_sdk(door) as sdk:
        with pytest.raises(openai.RateLimitError) as limited:
            await sdk.images.generate(model="gpt-image-1-mini", prompt="[fault:429]")
        assert limited.value.response.headers["retry-after"] == "2"
        with pytest.raises(openai.BadRequestError) as refused:
            await sdk.images.generate(model="gpt-image-1-mini", prompt="[refuse]")
        assert refused.value.code == "moderation_blocked"


@pytest.fixture
def google(door: Door) -> Iterator[genai.Client]:
    options = {"base_url": f"{door.url}/sandbox/gemini", "client_args": {"trust_env": False}}
    with genai.Client(api_key=TEST, http_options=options) as client:
        yield client


async def test_gemini_draws(google: genai.Client) -> None:
    answer = await asyncio.to_thread(
        google.models.generate_content,
        model="gemini-2.5-flash-image",
        contents="a fox",
        config=types.GenerateContentConfig(response_modalities=["IMAGE"]),
    )
    (part,) = answer.candidates[0].content.parts
    assert look(part.inline_data.data) == Media("image/png", 1024, 1024)


@pytest.mark.parametrize("key", [WRONG, LIVE])
async def test_gemini_knows_no_other_keys(key: str, door: Door) -> None:
    options = {"base_url": f"{door.url}/sandbox/gemini", "client_args": {"trust_env": False}}
    with genai.Client(api_key=key, http_options=options) as client, pytest.raises(errors.ClientError) as wrong:
        await asyncio.to_thread(client.models.generate_content, model="gemini-2.5-flash-image", contents="a fox")
    assert (wrong.value.code, wrong.value.status) == (400, "INVALID_ARGUMENT")


@asynccontextmanager
async def fal_sdk(door: Door, monkeypatch: pytest.MonkeyPatch, key: str = TEST) -> AsyncIterator[AsyncClient]:
    """The SDK builds its addresses from constants; none of them leads out of here, and nothing is tried again."""
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setattr(fal_client.client, "QUEUE_URL_FORMAT", f"{door.url}/sandbox/fal/")
    for name in ("RUN_URL_FORMAT", "REST_URL", "CDN_URL"):
        monkeypatch.setattr(fal_client.client, name, "http://127.0.0.1:9/")
    monkeypatch.setattr(fal_client.client, "MAX_ATTEMPTS", 1)
    client = AsyncClient(key=key)
    try:
        yield client
    finally:
        http: httpx.AsyncClient = await client._client
        await http.aclose()


async def test_fal_is_polled_at_the_gateway(door: Door, monkeypatch: pytest.MonkeyPatch) -> None:
    async with fal_sdk(door, monkeypatch) as sdk:
        handle = await sdk.submit("fal-ai/flux/schnell", {"prompt": "a fox"})
        assert handle.status_url.startswith(f"{door.url}/sandbox/fal/fal-ai/flux/requests/")
        drawn = await handle.get(interval=0.02)
        assert await fetched(door, drawn["images"][0]["url"]) == Media("image/jpeg", 1024, 768)
        again = {"prompt": "at night", "image_urls": [drawn["images"][0]["url"]]}
        edited = await sdk.subscribe("fal-ai/nano-banana/edit", again, interval=0.02)
        assert edited["images"]


@pytest.mark.parametrize("key", [WRONG, LIVE])
async def test_fal_knows_no_other_keys(key: str, door: Door, monkeypatch: pytest.MonkeyPatch) -> None:
    async with fal_sdk(door, monkeypatch, key) as sdk:
        with pytest.raises(FalClientHTTPError) as wrong:
            await sdk.submit("fal-ai/flux/schnell", {"prompt": "a fox"})
    assert wrong.value.status_code == 401


@asynccontextmanager
async def tencent_sdk(door: Door, key: str = TEST, secret: str = SECRET) -> AsyncIterator[HunyuanClient]:
    """It signs the Host, in which its endpoint's path goes too."""
    http = HttpProfile(protocol="http", endpoint=f"127.0.0.1:{door.port}/sandbox/tencent-hunyuan")
    client = HunyuanClient(Credential(key, secret), "ap-guangzhou", ClientProfile(httpProfile=http))
    try:
        yield client
    finally:
        client.request.conn._session.close()


async def tencent_draws(sdk: HunyuanClient) -> str:
    """The URL of what it drew."""
    wish = models.SubmitHunyuanImageJobRequest()
    wish.from_json_string(json.dumps({"Prompt": "a fox", "LogoAdd": 0}))
    question = models.QueryHunyuanImageJobRequest()
    question.JobId = (await asyncio.to_thread(sdk.SubmitHunyuanImageJob, wish)).JobId
    while True:
        job = await asyncio.to_thread(sdk.QueryHunyuanImageJob, question)
        if job.JobStatusCode not in ("1", "2"):
            return str(job.ResultImage[0])
        await asyncio.sleep(0.02)


async def test_tencent_is_signed_for_the_gateway(door: Door) -> None:
    async with tencent_sdk(door) as sdk:
        assert await fetched(door, await tencent_draws(sdk)) == Media("image/png", 1024, 1024)


@pytest.mark.parametrize(
    ("key", "secret", "code"),
    [
        (WRONG, SECRET, "AuthFailure.SecretIdNotFound"),
        (LIVE, SECRET, "AuthFailure.SecretIdNotFound"),
        (TEST, "another", "AuthFailure.SignatureFailure"),
    ],
)
async def test_tencent_knows_no_other_keys(key: str, secret: str, code: str, door: Door) -> None:
    async with tencent_sdk(door, key, secret) as sdk:
        with pytest.raises(TencentCloudSDKException) as wrong:
            await tencent_draws(sdk)
    assert wrong.value.code == code


# -- WebSockets --


@asynccontextmanager
async def runware_sdk(door: Door, monkeypatch: pytest.MonkeyPatch, key: str = TEST) -> AsyncIterator[Runware]:
    """The SDK speaks WebSocket alone."""
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    client = Runware(api_key=key, url=f"ws://127.0.0.1:{door.port}/sandbox/runware/v1")
    await client.connect()
    try:
        yield client
    finally:
        await client.disconnect()


def wish(prompt: str, **fields: object) -> IImageInference:
    return IImageInference(model="runware:100@1", positivePrompt=prompt, **{"width": 128, "height": 128, **fields})


async def test_runware_draws_over_a_websocket(door: Door, monkeypatch: pytest.MonkeyPatch) -> None:
    async with runware_sdk(door, monkeypatch) as sdk:
        (drawn,) = await sdk.imageInference(wish("a fox", outputFormat="PNG"))
        assert await fetched(door, drawn.imageURL) == Media("image/png", 128, 128)
        for prompt, code in (("a fox [refuse]", "invalidProviderContent"), ("a", "invalidPositivePrompt")):
            with pytest.raises(RunwareAPIError) as refused:
                await sdk.imageInference(wish(prompt))
            assert refused.value.code == code


async def test_runware_sends_and_gets_pictures_of_many_bytes(door: Door, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = {"seedImage": data_url(noise() + bytes(4_000_000)), "outputType": "base64Data", "outputFormat": "PNG"}
    async with runware_sdk(door, monkeypatch) as sdk:
        (drawn,) = await sdk.imageInference(wish("a hat", width=1024, height=1024, **asked))
    assert look(base64.b64decode(drawn.imageBase64Data)) == Media("image/png", 1024, 1024)


@pytest.mark.parametrize("key", [WRONG, LIVE])
async def test_runware_knows_no_other_keys(key: str, door: Door, monkeypatch: pytest.MonkeyPatch) -> None:
    async with runware_sdk(door, monkeypatch, key) as sdk:
        assert not sdk.isAuthenticated()


async def test_a_stranger_is_heard_once(door: Door) -> None:
    """He is told what is wrong, and that this is the end, while what he goes on to say stays unread."""
    async with door.http.ws_connect(f"{door.url}/sandbox/runware/v1") as socket:
        await socket.send_json([{"taskType": "ping"}])
        assert (await socket.receive_json())["errors"][0]["code"] == "invalidApiKey"
        assert (await socket.receive()).type is aiohttp.WSMsgType.CLOSE


async def test_a_key_opens_a_websocket_where_it_may_be_used_from(door: Door) -> None:
    await door.new_key("sk-test-far-away", kind="test", networks=("203.0.113.0/24",))
    forged = {CLIENT_HEADER: "203.0.113.7"}
    async with door.http.ws_connect(f"{door.url}/sandbox/runware/v1", headers=forged) as socket:
        await socket.send_json([{"taskType": "authentication", "apiKey": "sk-test-far-away"}])
        assert (await socket.receive_json())["errors"][0]["code"] == "invalidApiKey"


async def test_comfyui_tells_of_its_work(door: Door) -> None:
    headers = {"Authorization": f"Bearer {TEST}"}
    async with door.http.ws_connect(f"{door.url}/sandbox/comfyui/ws?clientId=me", headers=headers) as socket:
        assert (await socket.receive_json())["type"] == "status"
        work = {"prompt": TEXT_TO_IMAGE, "client_id": "me"}
        begun = await door.ask(work, path="/sandbox/comfyui/prompt", key=TEST)
        told: list[dict[str, object]] = []
        while not told or told[-1] != {"prompt_id": begun.fields["prompt_id"], "node": None}:
            event = await socket.receive_json()
            told.append(event["data"])
    assert told[0] == {"prompt_id": begun.fields["prompt_id"]}


async def test_a_websocket_that_is_not_wanted(door: Door) -> None:
    """The simulator says so in HTTP: for want of a key, and where it has none."""
    for path, status in (("/sandbox/comfyui/ws", 401), ("/sandbox/nobody", 404)):
        with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
            await door.http.ws_connect(door.url + path)
        assert refused.value.status == status
        assert refused.value.headers and refused.value.headers["x-pictura-sandbox"] == "true"


@pytest.mark.parametrize("path", ["/health", "/sandboxes/runware/v1", "/v1/models"])
async def test_there_are_no_websockets_elsewhere(path: str, door: Door) -> None:
    """Whoever wishes for one is answered in HTTP, on a connection that goes on."""
    wish = {"Connection": "Upgrade", "Upgrade": "websocket", "Sec_WebSocket_Key": "AAAA", "Sec_WebSocket_Version": 13}
    async with connected(door.port) as (reader, writer):
        for _ in range(2):
            writer.write(head("GET", path, key=TEST, **wish))
            assert (await read_answer(reader)).status in (200, 404)


async def test_a_wish_that_comes_in_pieces(door: Door) -> None:
    wish = {"Connection": "Upgrade", "Upgrade": "websocket", "Sec_WebSocket_Version": 13}
    whole = head("GET", "/sandbox/comfyui/ws", key=TEST, **wish, Sec_WebSocket_Key="AAAAAAAAAAAAAAAAAAAAAA==")
    async with connected(door.port) as (reader, writer):
        for piece in (whole[:8], whole[8:60], whole[60:]):
            writer.write(piece)
            await asyncio.sleep(0.05)
        assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 101 ")


async def test_who_was_not_answered_yet_may_not_say_much(door: Door, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tunnel, "PATIENCE_S", 0.2)
    monkeypatch.setattr(tunnel, "UNHEARD_BYTES", 1000)
    async with door.http.ws_connect(f"{door.url}/sandbox/runware/v1") as socket:
        await socket.send_str(" " * 2000)
        assert (await socket.receive()).type is aiohttp.WSMsgType.CLOSED


async def test_a_websocket_ends_with_its_client(door: Door) -> None:
    before = len(asyncio.all_tasks())
    async with door.http.ws_connect(f"{door.url}/sandbox/runware/v1") as socket:
        assert len(asyncio.all_tasks()) > before
        socket._response.connection.transport.abort()  # type: ignore[union-attr]  # as a client that is killed
    await until(lambda: len(asyncio.all_tasks()) <= before)


async def test_a_websocket_does_not_hold_up_a_server_that_ends(door: Door) -> None:
    async with answering(door.house) as port:
        socket = await door.http.ws_connect(f"http://127.0.0.1:{port}/sandbox/runware/v1")
    assert (await socket.receive()).type is aiohttp.WSMsgType.CLOSED


@pytest.fixture
def imitated(door: Door, upstream: Upstream, monkeypatch: pytest.MonkeyPatch) -> Upstream:
    """A scripted server in the place of the sandbox."""
    monkeypatch.setattr(door.house, "sandbox_address", upstream.address)
    return upstream


# -- keys --


async def test_a_key_s_limits_do_not_count_and_its_end_does(door: Door) -> None:
    key = await door.new_key("sk-test-one-a-minute", kind="test", requests_per_minute=1, models=("dall-e-3",))
    for _ in range(3):
        assert (await door.ask(FOX, path=OPENAI, key="sk-test-one-a-minute")).status == 200
    await door.house.keys.disable(key.id)
    assert (await door.ask(FOX, path=OPENAI, key="sk-test-one-a-minute")).status == 401


async def test_a_key_works_where_it_may_be_used_from(door: Door) -> None:
    """Nobody chooses his own address: what a client says in the forwarder's words is left out."""
    await door.new_key("sk-test-from-elsewhere", kind="test", networks=("203.0.113.0/24",))
    forged = {CLIENT_HEADER: "203.0.113.7"}
    assert (await door.ask(FOX, path=OPENAI, key="sk-test-from-elsewhere", headers=forged)).status == 401
    await door.new_key("sk-test-from-here", kind="test", networks=("127.0.0.1",))
    assert (await door.ask(FOX, path=OPENAI, key="sk-test-from-here")).status == 200


async def test_no_job_and_no_money(door: Door) -> None:
    jobs, purse = len(door.jobs()), door.purse()
    assert (await door.ask(FOX, path=OPENAI, key=TEST)).status == 200
    assert (len(door.jobs()), door.purse()) == (jobs, purse)


# -- URLs --


async def polling_url(door: Door, **headers: str) -> str:
    body = msgspec.json.encode({"prompt": "a fox"})
    told = await door.send("POST", "/sandbox/bfl/v1/flux-dev", body, headers={"x-key": TEST, **headers})
    assert told.status == 200, told.body
    return str(told.fields["polling_url"])


async def test_urls_lead_to_the_gateway_by_the_name_it_is_called(door: Door) -> None:
    assert (await polling_url(door)).startswith(f"{door.url}/sandbox/bfl/v1/get_result?id=")
    assert (await polling_url(door, Host="localhost:1")).startswith("http://localhost:1/sandbox/bfl/")
    assert (await polling_url(door, Host="evil.example.com")).startswith(f"{door.url}/sandbox/bfl/")
    assert (await polling_url(door, **{BASE_HEADER: "http://evil.example.com"})).startswith(f"{door.url}/sandbox/")


async def test_urls_begin_with_the_public_url(door: Door, upstream: Upstream) -> None:
    server = ServerSettings(public_url="https://img.example.com/pictura")
    async with open_door(door.folder / "public", upstream, server=server) as public:
        assert (await polling_url(public)).startswith("https://img.example.com/pictura/sandbox/bfl/v1/get_result?id=")


async def test_the_gateway_itself_reaches_the_simulators_directly(door: Door) -> None:
    """Its own polling URLs do not lead through its own door."""
    drawn = await door.ask({"model": "flux-dev", "prompt": "a fox"}, key=TEST)
    assert drawn.status == 200
    assert (await door.send("GET", f"{door.house.sandbox_address}/files/none")).status == 404


async def test_a_target_is_what_was_asked_for_byte_for_byte() -> None:
    scope = {"raw_path": b"/sandbox/kling/v1/a%2Fb%20c/../d;e", "query_string": b"q=%7B%22a%22%7d&k"}
    url = target("http://127.0.0.1:1", scope)
    assert str(url) == "http://127.0.0.1:1/kling/v1/a%2Fb%20c/../d;e?q=%7B%22a%22%7d&k"


# -- what a wire can do --


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/sandbox/", 404),
        ("GET", "/sandbox/nobody/v1", 404),
        ("GET", "/sandbox/files/nothing", 404),
        ("HEAD", "/sandbox/files/nothing", 404),
        ("PUT", "/sandbox/fal/fal-ai/flux/requests/none/cancel", 401),
        ("DELETE", "/sandbox/together/v1/images/generations", 401),
        ("PATCH", "/sandbox/a1111/sdapi/v1/options", 404),
        ("GET", "/sandbox", 404),
    ],
)
async def test_every_method_and_path_is_passed_on(method: str, path: str, status: int, door: Door) -> None:
    answer = await door.send(method, path)
    assert answer.status == status, answer.body
    assert "x-request-id" in answer.headers


async def test_an_answer_runs_nothing_on_our_origin(door: Door) -> None:
    answer = await door.ask(FOX, path=OPENAI, key=TEST)
    assert "sandbox" in answer.headers["content-security-policy"]
    assert answer.headers["x-content-type-options"] == "nosniff"


async def test_a_body_in_chunks(door: Door) -> None:
    async def pieces() -> AsyncIterator[bytes]:
        for letter in msgspec.json.encode(FOX):
            yield bytes([letter])

    headers = {"Content-Type": "application/json"}
    assert (await door.send("POST", OPENAI, pieces(), key=TEST, headers=headers)).status == 200


async def test_a_body_that_is_too_large(door: Door, imitated: Upstream) -> None:
    answer = await door.send("POST", OPENAI, b" " * (MOST_BYTES + 1), key=TEST)
    assert (answer.status, code(answer)) == (413, "too_large")
    assert json.loads(answer.body)["error"]["request_id"] == answer.headers["x-request-id"]


async def test_an_early_no_reaches_a_client_that_is_still_sending(door: Door) -> None:
    answer = await door.send("POST", OPENAI, b" " * 20_000_000, key=WRONG, headers={"Content-Type": "application/json"})
    assert (answer.status, code(answer)) == (401, "invalid_api_key")


async def test_an_answer_is_passed_on_as_it_comes(door: Door, imitated: Upstream) -> None:
    """The first event is here while the last one still waits for a word of ours."""
    go_on = asyncio.Event()
    imitated.always = stream(("first", {}), ("last", {}), pause=go_on)
    async with door.http.post(door.url + OPENAI, data=b"{}") as answer:
        assert await answer.content.readuntil(b"\n\n") == b"event: first\ndata: {}\n\n"
        go_on.set()
        assert await answer.content.read() == b"event: last\ndata: {}\n\n"


async def test_a_request_is_passed_on_as_it_is(door: Door, imitated: Upstream) -> None:
    headers = {"Host": "api.example.com:8", "X-Tc-Action": "Draw", "Connection": "keep-alive, x-hop", "Expect": ""}
    await door.send("POST", "/sandbox/acme/v1?a=%26", b"{ }", headers=headers)
    (seen,) = imitated.seen
    assert (seen.path, seen.body, seen.headers["host"]) == ("/acme/v1?a=%26", b"{ }", "api.example.com:8")
    assert (seen.headers["x-tc-action"], seen.headers["content-length"]) == ("Draw", "3")
    assert "expect" not in seen.headers and "transfer-encoding" not in seen.headers


async def test_an_answer_that_breaks_off_breaks_off(door: Door, imitated: Upstream) -> None:
    imitated.always = reset_in_the_answer
    with pytest.raises(aiohttp.ClientPayloadError):
        await door.ask({"prompt": "a fox", "size": "1024x1024"}, path=OPENAI)


async def test_a_reset_is_a_reset(door: Door) -> None:
    with pytest.raises(aiohttp.ClientOSError) as broken:
        await door.ask({**FOX, "prompt": "[fault:reset]"}, path=OPENAI, key=TEST)
    assert broken.value.errno == errno.ECONNRESET


async def test_a_stalled_answer_ends_with_its_client(door: Door) -> None:
    before = len(asyncio.all_tasks())
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(door.ask({**FOX, "prompt": "[fault:stall]"}, path=OPENAI, key=TEST), 0.5)
    await until(lambda: len(asyncio.all_tasks()) <= before)


async def test_a_client_that_leaves_while_it_sends(door: Door) -> None:
    before = len(asyncio.all_tasks())
    async with connected(door.port) as (_, writer):
        head = f"POST {OPENAI} HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer {TEST}\r\nContent-Length: 1000\r\n\r\n"
        writer.write(head.encode() + b'{"model":')
        await writer.drain()
        await asyncio.sleep(0.1)
    await until(lambda: len(asyncio.all_tasks()) <= before)


async def test_a_connection_is_kept(door: Door) -> None:
    """Two requests on one line; the second is asked after an error."""
    async with connected(door.port) as (reader, writer):
        for key, status in ((WRONG, 401), (TEST, 200)):
            body = msgspec.json.encode(FOX)
            head = f"POST {OPENAI} HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {key}\r\n"
            kind = f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
            writer.write((head + kind).encode() + body)
            assert (await read_answer(reader)).status == status
