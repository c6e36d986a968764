"""What bad input gets, dialect by dialect: the right status and envelope, at most one call upstream unless that call is
provably unbilled, the hold released, and nothing left behind."""

from __future__ import annotations

import asyncio
import logging
import re
import socket
import struct
import zlib
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator

import msgspec
import pytest
import pytest_asyncio

from pictura.core.errors import NotSent
from pictura.core.job import JobState
from pictura.infra.config import JobSettings
from pictura.store import audit, jobs
from pictura.store.keys import Project, make_project
from tests.doors import dialects
from tests.doors.dialects import (
    BARE_EDITS,
    CAP,
    DIALECTS,
    FAILED,
    FORBIDDEN,
    INVALID,
    KEY,
    KIND,
    LARGE,
    LOST,
    MALFORMED,
    MONEY,
    NO_MODEL,
    NO_PATH,
    RATE,
    REFUSED,
    REJECTED,
    THROTTLED,
    UNREACHABLE,
    VALUE,
    Name,
    Told,
    Wrong,
    ask,
    ask_form,
    place,
    shown,
)
from tests.doors.door import (
    KEYS,
    LIVE,
    MODEL,
    PRICE,
    SHARED,
    STUDIO,
    TEST,
    Answer,
    Door,
    channel,
    connected,
    data_url,
    form,
    head,
    look,
    open_door,
    png_file,
    read_answer,
    until,
    usual_channels,
)
from tests.upstream import (
    Behaviour,
    Upstream,
    data,
    data_with,
    file,
    page,
    picture,
    reply,
    reset_after_reading,
    reset_before_reading,
    reset_in_the_answer,
    running,
    say,
    stall,
    stall_in_the_answer,
    when,
)

pytestmark = pytest.mark.asyncio(loop_scope="module")

#: A model whose only channel leads to a port where nobody listens.
DEAD = "somebody/dead"
#: A model that publishes how many pixels an input may have.
WAN = "wan2.7-image"
#: What takes its time is tried in two dialects only.
TWO: tuple[Name, ...] = ("openai", "imagerouter")

Send = Callable[[Door, Name], Coroutine[None, None, Answer]]


class Case(msgspec.Struct, frozen=True):
    """A request that is refused before any provider is asked. `says` is part of the message.

    imagerouter has no place for `param`.
    """

    name: str
    send: Send
    told: Told
    param: str | None = None
    says: str = ""


# -- the house of this module --


@pytest.fixture(scope="module")
def closed_port() -> Iterator[int]:
    """A port that nobody else gets and where nobody listens."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        yield sock.getsockname()[1]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shared_door(
    tmp_path_factory: pytest.TempPathFactory, shared_upstream: Upstream, closed_port: int
) -> AsyncIterator[Door]:
    dead = channel(shared_upstream, "dead", base_url=f"http://127.0.0.1:{closed_port}/v1", models=(DEAD,))
    wan = channel(shared_upstream, "wan", provider="dashscope", models=(WAN,))
    async with open_door(
        tmp_path_factory.mktemp("house"),
        shared_upstream,
        channels=(*usual_channels(shared_upstream), dead, wan),
        fetch_allow=f"127.0.0.1:{shared_upstream.port}, 127.0.0.1:{closed_port}",
    ) as door:
        await make_project(door.house.database, Project("poor", "Poor", prepaid=True))
        await door.new_key("sk-pic-expired", expires_ms=1)
        disabled = await door.new_key("sk-pic-disabled")
        await door.house.keys.disable(disabled.id)
        await door.new_key("sk-pic-limited", models=(SHARED, "dall-*"))
        await door.new_key("sk-pic-elsewhere", networks=("10.0.0.0/8",))
        await door.new_key("sk-pic-poor", project=Project("poor", "Poor", prepaid=True))
        await door.new_key("sk-pic-capped", cap=PRICE - 1, cap_period="day")
        await door.new_key("sk-pic-one-at-once", concurrency=1)
        await door.new_key("sk-pic-admin-only", scopes=("admin",))
        yield door


@pytest_asyncio.fixture(loop_scope="module", autouse=True)
async def nothing_left(door: Door, caplog: pytest.LogCaptureFixture) -> AsyncIterator[None]:
    """After every test: no hold, no spool, no input; the balance is the sum of the ledger; no secret was logged."""
    caplog.set_level(logging.DEBUG)
    yield
    await until(lambda: not door.left_behind() and not door.house.gateway.running)
    assert door.purse().held == 0
    assert door.purse().balance == sum(entry.amount for entry in door.entries())
    assert all(job.state.terminal for job in door.jobs())
    for key in (*KEYS, "sk-pic-expired", "sk-pic-poor"):
        assert key not in caplog.text


def check_told(answer: Answer, dialect: Name, told: Told) -> Wrong:
    """As the dialect tells it; the request id in both places; nothing that is nobody's business."""
    error = dialects.check_told(answer, dialect, told)
    assert re.fullmatch(r"req_[0-9a-z]{26}", answer.headers["x-request-id"])
    # A refusal is an answer at Gemini, and named after its job.
    assert error.request_id in (answer.headers["x-request-id"], answer.headers.get("x-pictura-job"))
    check_discreet(answer)
    return error


def check_discreet(answer: Answer) -> None:
    shown = answer.body.decode() + str(answer.headers)
    assert "Traceback" not in shown
    assert ".py" not in shown
    for secret in (*KEYS, "sk-live-page-secret", str(answer.headers.get("authorization", "no header"))):
        assert secret not in shown


# -- refused at the door --


def json(key: str = LIVE, edit: bool = False, **fields: object) -> Send:
    """A JSON request that is right but for `fields`; None takes a field away."""

    async def send(door: Door, dialect: Name) -> Answer:
        whole = {"model": MODEL, "prompt": "a fox", **fields}
        body = {name: value for name, value in whole.items() if value is not None}
        return await ask(door, dialect, body, edit=edit, key=key)

    return send


def text(body: bytes, kind: str = "application/json", *, key: str = LIVE) -> Send:
    """A body as it is."""

    async def send(door: Door, dialect: Name) -> Answer:
        return await door.ask(body, path=place(dialect), key=key, headers={"Content-Type": kind})

    return send


def pictures(*images: bytes, mask: bytes = b"", **texts: str) -> Send:
    """A form with pictures."""

    async def send(door: Door, dialect: Name) -> Answer:
        files = [png_file("image[]", image) for image in images]
        files += [png_file("mask", mask)] if mask else []
        return await ask_form(door, dialect, {"model": MODEL, "prompt": "a fox", **texts}, files)

    return send


def by_url(url: Callable[[Door], str], model: str = MODEL) -> Send:
    """An edit of the picture at a URL."""

    async def send(door: Door, dialect: Name) -> Answer:
        door.upstream.files["/page"] = file(b"<html>no picture</html>", "text/html")
        door.upstream.files["/away"] = file(b"", status=302, headers={"Location": f"{door.url}/health"})
        door.upstream.files["/huge"] = file(bytes(50_000_001))
        door.upstream.files["/long"] = file(LONG_PNG)
        fields = {"model": model, "prompt": "a fox", "images": [{"image_url": url(door)}]}
        return await ask(door, dialect, fields, edit=True)

    return send


def bomb() -> bytes:
    """A small PNG whose header promises 60 000 x 60 000 pixels."""
    header = b"IHDR" + struct.pack(">IIBBBBB", 60_000, 60_000, 8, 6, 0, 0, 0)
    chunk = struct.pack(">I", 13) + header + struct.pack(">I", zlib.crc32(header))
    return b"\x89PNG\r\n\x1a\n" + chunk + picture()[33:]


PNG = picture()
LARGE_PNG = PNG + bytes(25_000_001 - len(PNG))
LONG_PNG = picture(240, 1921)
PIXELS_OF_WAN = "wan2.7-image takes sides of 240 to 8,000 pixels, aspects from 1:8 to 8:1"
SEVENTEEN = [{"image_url": data_url(PNG)}] * 17

CASES = (
    Case("no key", json(key=""), KEY, says="no API key"),
    Case("wrong key", json(key="sk-pic-nobodys"), KEY, says="not known"),
    Case("endless key", json(key="sk-pic-" + "x" * 1000), KEY, says="not known"),
    Case("expired key", json(key="sk-pic-expired"), KEY, says="expired"),
    Case("disabled key", json(key="sk-pic-disabled"), KEY, says="disabled"),
    Case("key that may not draw", json(key="sk-pic-admin-only"), FORBIDDEN, says="draw"),
    Case("model not allowed", json(key="sk-pic-limited"), FORBIDDEN, says=SHARED),
    Case("address not allowed", json(key="sk-pic-elsewhere"), FORBIDDEN, says="127.0.0.1"),
    Case("no balance", json(key="sk-pic-poor"), MONEY, says="$0.04"),
    Case("cap reached", json(key="sk-pic-capped"), CAP, says="$0.039999 a day"),
    Case("unknown model", json(model="gpt-imagine-2"), NO_MODEL, "model", says="gpt-imagine-2"),
    Case("retired model", json(model="dall-e-3"), NO_MODEL, "model", says="use gpt-image-2.5-sunburst instead"),
    Case("missing model", json(model=None), INVALID, "model", says="model"),
    Case("model of another kind", json(model=7), INVALID, "model"),
    Case("missing prompt", json(prompt=None), INVALID, "prompt", says="prompt is required"),
    Case("blank prompt", json(prompt=" \n "), INVALID, "prompt", says="prompt is required"),
    Case("prompt of another kind", json(prompt={"text": "a fox"}), INVALID, "prompt"),
    Case("prompt too long", json(prompt="x" * 32_001), INVALID, "prompt", says="32,001"),
    Case("prompt with NUL", json(prompt="a\0fox"), INVALID, "prompt"),
    Case("half of a surrogate pair", text(rb'{"model":"gpt-image-1.5","prompt":"\ud83e"}'), INVALID),
    Case("bad size", json(size="banana"), INVALID, "size"),
    Case("size without pixels", json(size="0x0"), INVALID, "size"),
    Case("bad quality", json(quality="banana"), VALUE, "quality", says="low, medium, high"),
    Case("bad format", json(output_format="exe"), VALUE, "output_format", says="png"),
    Case("bad compression", json(output_compression=101), INVALID, "output_compression"),
    Case("bad delivery", json(response_format="fax"), VALUE, "response_format", says="b64_json"),
    Case("n too large", json(n=11), INVALID, "n", says="10"),
    Case("n too small", json(n=0), INVALID, "n"),
    Case("n below zero", json(n=-1), INVALID, "n"),
    Case("n with a fraction", json(n=1.5), INVALID, "n"),
    Case("n as text", json(n="two"), INVALID, "n"),
    Case("n too large for any integer", text(b'{"model":"gpt-image-1.5","prompt":"x","n":1e999}'), INVALID),
    Case("17 pictures", pictures(*[PNG] * 17), INVALID, "image", says="17"),
    Case("17 pictures in JSON", json(edit=True, images=SEVENTEEN), INVALID, "image", says="17"),
    Case("100 pictures", pictures(*[PNG] * 100), INVALID, "image", says="100"),
    Case("not a picture", pictures(b"I am a text."), INVALID, "image", says="not a picture"),
    Case("an empty picture", pictures(b""), INVALID, "image", says="empty"),
    Case("one of two is no picture", pictures(PNG, b"\xff\xd8\xff"), INVALID, "image", says="picture 2"),
    Case("truncated picture", pictures(PNG[:-20]), INVALID, "image", says="IEND"),
    Case("truncated JPEG", pictures(picture(format="jpeg")[:-20]), INVALID, "image", says="not whole"),
    Case("truncated WebP", pictures(picture(format="webp")[:-20]), INVALID, "image", says="not whole"),
    Case("format not taken", pictures(picture(format="bmp")), INVALID, "image", says="png, jpeg, webp"),
    Case("decompression bomb", pictures(bomb()), INVALID, "image", says="60000×60000"),
    Case(
        "picture with too few pixels",
        pictures(picture(240, 240), picture(900, 239), model=WAN),
        INVALID,
        "image",
        says=f"picture 2 has 900x239 pixels; {PIXELS_OF_WAN}",
    ),
    Case(
        "URL of too long a picture",
        by_url(lambda door: f"{door.upstream.address}/long", WAN),
        INVALID,
        "image",
        says=f"the picture has 240x1921 pixels; {PIXELS_OF_WAN}",
    ),
    Case("mask of another size", pictures(PNG, mask=picture(32, 32)), INVALID, "mask", says="32x32"),
    Case("mask that is no PNG", pictures(PNG, mask=picture(format="jpeg")), INVALID, "mask", says="png"),
    Case("two masks", json(edit=True, image=data_url(PNG), mask=[data_url(PNG)] * 2), INVALID, "mask"),
    Case("base64 that is none", json(edit=True, image="data:image/png;base64,####"), INVALID, "image"),
    Case("truncated base64 picture", json(edit=True, image=data_url(PNG[:-20])), INVALID, "image", says="IEND"),
    Case("URL of no server", by_url(lambda door: "http://127.0.0.1:1/x.png"), INVALID, "image", says="private"),
    Case("URL that is not there", by_url(lambda door: f"{door.upstream.address}/x.png"), INVALID, "image", says="404"),
    Case("URL of a page", by_url(lambda door: f"{door.upstream.address}/page"), INVALID, "image"),
    Case("URL of too large a picture", by_url(lambda door: f"{door.upstream.address}/huge"), LARGE, "image"),
    Case("URL into this house", by_url(lambda door: f"{door.url}/health"), INVALID, "image", says="private"),
    Case("URL of loopback by name", by_url(lambda door: f"http://localhost:{door.port}/"), INVALID, "image"),
    Case(
        "URL of loopback in IPv6", by_url(lambda door: f"http://[::1]:{door.port}/"), INVALID, "image", says="private"
    ),
    Case("URL of loopback in one number", by_url(lambda door: f"http://2130706433:{door.port}/"), INVALID, "image"),
    Case(
        "URL of cloud metadata", by_url(lambda door: "http://169.254.169.254/latest"), INVALID, "image", says="private"
    ),
    Case("redirect into this house", by_url(lambda door: f"{door.upstream.address}/away"), INVALID, "image"),
    Case("URL with credentials", by_url(lambda door: "http://a:b@127.0.0.1/x.png"), INVALID, "image"),
    Case("URL of a file", by_url(lambda door: "file:///etc/passwd"), INVALID, "images[0].image_url", says="http"),
    Case("malformed JSON", text(b'{"model": '), INVALID, says="not valid JSON"),
    Case("JSON with a comment", text(b'{\n  // a fox\n  "model": "gpt-image-1.5"}'), INVALID, says="no // comments"),
    Case("nested 10 000 deep", text(b'{"x":' * 10_000 + b"1" + b"}" * 10_000), INVALID, says="nested"),
    Case("lists 10 000 deep", text(b'{"x":' + b"[" * 10_000 + b"]" * 10_000 + b"}"), INVALID, says="nested"),
    Case("never closed", text(b"[" * 10_000), INVALID),
    Case("JSON array", text(b"[1, 2]"), INVALID, says="JSON object"),
    Case("JSON text", text(b'"a fox"'), INVALID, says="JSON object"),
    Case("empty body", text(b""), INVALID, says="empty"),
    Case("not UTF-8", text(b'{"model":"gpt-image-1.5","prompt":"\xff\xfe"}'), INVALID),
    Case("wrong content type", text(b"a fox", "text/plain"), KIND, says="application/json"),
    Case("form of a browser", text(b"model=x&prompt=y", "application/x-www-form-urlencoded"), KIND),
    Case("multipart without boundary", text(b"--x\r\n", "multipart/form-data"), INVALID, says="boundary"),
    Case("multipart cut short", text(form({"model": MODEL})[1][:-30], form({})[0]), INVALID),
    Case("multipart that is none", text(b"a fox", form({})[0]), INVALID),
    Case("control character in an id", json(model="gpt\n-image"), INVALID, "model"),
    Case("endless id", json(model="x" * 201), INVALID, "model"),
    Case("a text of 600 KB", json(prompt="x" * 600_000), LARGE),
    Case("texts of a form of 600 KB", pictures(PNG, prompt="x" * 600_000), LARGE),
)


@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
async def test_refused(case: Case, dialect: Name, door: Door, upstream: Upstream) -> None:
    known, balance = len(door.jobs()), door.purse()
    error = check_told(await case.send(door, dialect), dialect, case.told)
    assert case.says in error.message
    assert error.param == (None if dialect == "imagerouter" else case.param)
    assert not upstream.seen
    assert (len(door.jobs()), door.purse()) == (known, balance)


@pytest.mark.parametrize("dialect", DIALECTS)
async def test_a_mask_without_a_picture(dialect: Name, door: Door, upstream: Upstream) -> None:
    error = check_told(await pictures(mask=PNG)(door, dialect), dialect, INVALID)
    told = "a mask needs the picture it belongs to" if dialect in BARE_EDITS else "image is required"
    assert error.message.startswith(told)
    assert not upstream.seen


@pytest.mark.parametrize("dialect", DIALECTS)
async def test_a_wrong_path_and_a_wrong_method(dialect: Name, door: Door) -> None:
    nowhere = await door.send("POST", f"/{dialect}/v1/pictures", b"{}", key=LIVE)
    check_told(nowhere, dialect, NO_PATH)
    error = check_told(await door.send("PUT", place(dialect), b"{}", key=LIVE), dialect, NO_PATH)
    assert re.search("use .*POST", error.message)


async def test_variations_are_not_offered(door: Door) -> None:
    kind, body = form({"model": MODEL}, [png_file("image", PNG)])
    answer = await door.send("POST", "/v1/images/variations", body, key=LIVE, headers={"Content-Type": kind})
    assert "/v1/images/edits" in check_told(answer, "openai", NO_PATH).message


#: Bytes of a picture in a form; in JSON openai takes 25 MB too.
CAPS: dict[Name, int] = {**dict.fromkeys(DIALECTS, 25_000_000), "openai": 50_000_000, "mixroute": 10_000_000}


@pytest.mark.parametrize("dialect", DIALECTS)
async def test_too_large_a_picture(dialect: Name, door: Door, upstream: Upstream) -> None:
    """On both sides of the cap, to the byte; what stands after a PNG's end is tolerated."""
    texts, cap = {"model": MODEL, "prompt": "a fox"}, CAPS[dialect]
    whole = PNG + bytes(cap - len(PNG))
    answer = await ask_form(door, dialect, texts, [png_file("image", whole + b"\0")])
    assert f"{cap:,}" in check_told(answer, dialect, LARGE).message
    assert not upstream.seen
    answer = await ask_form(door, dialect, texts, [png_file("image", whole)])
    assert answer.status == 200, answer.body
    assert len(upstream.seen) == 1
    assert upstream.seen[0].files == [("image", whole)]


@pytest.mark.parametrize("dialect", DIALECTS)
async def test_too_large_a_picture_in_json(dialect: Name, door: Door, upstream: Upstream) -> None:
    check_told(await json(image=data_url(LARGE_PNG))(door, dialect), dialect, LARGE)
    assert not upstream.seen


@pytest.mark.parametrize("dialect", DIALECTS)
async def test_unreachable_url(dialect: Name, door: Door, closed_port: int) -> None:
    answer = await by_url(lambda _: f"http://127.0.0.1:{closed_port}/x.png?token=secret")(door, dialect)
    error = check_told(answer, dialect, INVALID)
    assert "could not be reached" in error.message
    assert "secret" not in error.message


@pytest.mark.parametrize("dialect", DIALECTS)
async def test_a_url_that_is_none(dialect: Name, door: Door) -> None:
    answer = await by_url(lambda _: "http://[::1/x.png")(door, dialect)
    check_told(answer, dialect, INVALID)


@pytest.mark.parametrize("dialect", DIALECTS)
async def test_rate_limited(dialect: Name, door: Door, upstream: Upstream) -> None:
    key = f"sk-pic-one-a-minute-{dialect}"
    await door.new_key(key, requests_per_minute=1)
    assert (await json(key)(door, dialect)).status == 200
    second = await json(key)(door, dialect)
    check_told(second, dialect, RATE)
    assert 1 <= int(second.headers["retry-after"]) <= 60
    assert "x-should-retry" not in second.headers
    assert len(upstream.seen) == 1


@pytest.mark.parametrize("dialect", DIALECTS)
async def test_too_many_at_once(dialect: Name, door: Door, upstream: Upstream) -> None:
    go_on = asyncio.Event()
    upstream.always = when(go_on)
    send = json("sk-pic-one-at-once")
    first = asyncio.create_task(send(door, dialect))
    await upstream.wait_for(1)
    second = await send(door, dialect)
    check_told(second, dialect, RATE)
    assert second.headers["retry-after"] == "1"
    go_on.set()
    assert (await first).status == 200
    assert (await send(door, dialect)).status == 200
    assert len(upstream.seen) == 2


@pytest.mark.parametrize("key", ["sk-pic-poor", "sk-pic-capped"])
@pytest.mark.parametrize("dialect", DIALECTS)
async def test_no_money_is_not_worth_a_retry(dialect: Name, key: str, door: Door) -> None:
    assert (await json(key)(door, dialect)).headers["x-should-retry"] == "false"


@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize("model", ["dall-e-3", "dall-e-2", "gpt-image-1"])
async def test_a_test_key_draws_what_is_retired(dialect: Name, model: str, door: Door) -> None:
    answer = await json(TEST, model=model, response_format="b64_json")(door, dialect)
    (picture,) = shown(dialect, answer)
    assert look(await picture.bytes(door)).width == 1024
    assert answer.headers["x-pictura-sandbox"] == "true"


@pytest.mark.parametrize("field", ["user", "safety_identifier", "user_id"])
async def test_too_long_a_name_of_a_user_is_told_by_the_field_that_was_sent(field: str, door: Door) -> None:
    answer = await door.ask({"model": MODEL, "prompt": "a fox", field: "u" * 257}, key=TEST)
    assert (answer.status, answer.error.param) == (400, field)
    assert answer.error.message.startswith(f"{field} 'uuu")


async def test_a_name_that_no_header_may_hold(door: Door) -> None:
    """Unknown fields are repeated in a header: what stands in them is the client's."""
    fields = {"model": MODEL, "prompt": "a fox", "a\r\nx-evil: 1\x00🦊": 1}
    answer = await ask(door, "imagerouter", fields)
    assert "x-evil" not in answer.headers
    assert answer.status in (200, 400)


# -- what only Gemini's clients can say --


def contents(*parts: object, **fields: object) -> Send:
    """A conversation of one turn."""

    async def send(door: Door, dialect: Name) -> Answer:
        return await ask(door, dialect, {"model": MODEL, "contents": [{"role": "user", "parts": parts}], **fields})

    return send


def inline(data: str) -> dict[str, object]:
    return {"inlineData": {"mimeType": "image/png", "data": data}}


PART = "contents[0].parts[1]"
FOX = {"text": "a fox"}
GEMINI_CASES = (
    Case("no base64", contents(FOX, inline("####")), INVALID, f"{PART}.inlineData.data", says="base64"),
    Case("an empty picture", contents(FOX, inline("")), INVALID, f"{PART}.inlineData", says="no picture"),
    Case("a truncated picture", contents(FOX, inline(data_url(PNG[:-20])[22:])), INVALID, "image", says="IEND"),
    Case("no picture", contents(FOX, inline("SSBhbSBhIHRleHQu")), INVALID, "image", says="not a picture"),
    Case("a part that says nothing", contents(FOX, {"videoMetadata": {}}), INVALID, PART, says="neither a text nor"),
    Case("a bucket", contents(FOX, {"fileData": {"fileUri": "gs://b/x"}}), INVALID, f"{PART}.fileData.fileUri"),
    Case("a file here", contents(FOX, {"fileData": {"fileUri": "http://127.0.0.1:1/x"}}), INVALID, "image"),
    Case("no text at all", contents(inline(data_url(PNG)[22:])), INVALID, "prompt", says="prompt is required"),
    Case("no contents", json(prompt=None, contents=[]), INVALID, "prompt", says="prompt is required"),
    Case("contents of another kind", json(prompt=None, contents="a fox"), INVALID, "contents"),
    Case(
        "too many candidates",
        contents(FOX, generationConfig={"candidateCount": 11}),
        INVALID,
        "generationConfig.candidateCount",
        says="1 to 10",
    ),
    Case(
        "no words",
        contents(FOX, generationConfig={"responseModalities": ["AUDIO"]}),
        VALUE,
        "generationConfig.responseModalities",
        says="IMAGE",
    ),
    Case("an unknown setting", contents(FOX, generationConfig={"colour": "red"}), INVALID, "colour", says="colour"),
)


@pytest.mark.parametrize("case", GEMINI_CASES, ids=lambda case: case.name)
async def test_refused_by_gemini(case: Case, door: Door, upstream: Upstream) -> None:
    error = check_told(await case.send(door, "gemini"), "gemini", case.told)
    assert case.says in error.message
    assert error.param == case.param
    assert not upstream.seen


@pytest.mark.parametrize(
    ("model", "told"),
    [
        ("", INVALID),
        ("%20", INVALID),
        ("%00", INVALID),
        ("gpt-image-1.5%0A", INVALID),
        ("gpt%0D%0A-image", INVALID),
        ("x" * 201, INVALID),
        ("%FF%FE", NO_MODEL),
        ("%F0%9F%A6%8A", NO_MODEL),
        ("../../etc/passwd", NO_MODEL),
        ("%2e%2e%2fsecret", NO_MODEL),
        ("gpt-image-1.5:generateContent", NO_MODEL),
        (":", NO_MODEL),
        ("a%3Fkey=b", NO_MODEL),
    ],
)
@pytest.mark.parametrize("verb", ["generateContent", "streamGenerateContent?alt=sse"])
async def test_any_text_for_a_model_in_the_path(verb: str, model: str, told: Told, door: Door) -> None:
    """Sent by hand: no client library would."""
    body = b'{"contents": [{"parts": [{"text": "a fox"}]}]}'
    path = f"/v1beta/models/{model}:{verb}"
    async with connected(door.port) as (reader, writer):
        writer.write(head("POST", path, Content_Type="application/json", Content_Length=len(body)) + body)
        error = check_told(await read_answer(reader), "gemini", told)
    assert error.param == "model"


# -- bodies that are too much --


@pytest.mark.parametrize("dialect", DIALECTS)
async def test_a_chunked_body_over_the_cap(dialect: Name, door: Door, upstream: Upstream) -> None:
    async def body() -> AsyncIterator[bytes]:
        yield b'{"model": "gpt-image-1.5", "prompt": "'
        for _ in range(20):
            yield b"x" * 100_000
        yield b'"}'

    answer = await door.send("POST", place(dialect), body(), key=LIVE, headers={"Content-Type": "application/json"})
    check_told(answer, dialect, LARGE)
    assert not upstream.seen


@pytest.mark.parametrize("dialect", TWO)
async def test_a_prompt_of_60_mb(dialect: Name, door: Door, upstream: Upstream) -> None:
    """A client that does not look for an answer before it has sent everything gets to read it nevertheless."""
    start, piece = b'{"model": "gpt-image-1.5", "prompt": "', b"x" * 1_000_000
    async with connected(door.port) as (reader, writer):
        length = len(start) + 60 * len(piece) + 2
        writer.write(head("POST", place(dialect), Content_Type="application/json", Content_Length=length))
        writer.write(start)
        for _ in range(60):
            writer.write(piece)
            await writer.drain()
        writer.write(b'"}')
        check_told(await read_answer(reader), dialect, LARGE)
    assert not upstream.seen


# -- what providers do --


class Trouble(msgspec.Struct, frozen=True):
    """What a provider does. `elsewhere`: certainly nobody was billed, so another channel is asked."""

    name: str
    behaviour: Behaviour
    told: Told
    error: str
    elsewhere: bool = False
    billed: bool = False
    retry_after: str = ""
    #: It ends with a time limit.
    slow: bool = False


TROUBLES = (
    Trouble("401", say(401, message=f"Incorrect key {KEYS[3]}"), REJECTED, "Rejected", elsewhere=True),
    Trouble("402", say(402), REJECTED, "Rejected", elsewhere=True),
    Trouble("403", say(403), REJECTED, "Rejected", elsewhere=True),
    Trouble("403 page", page(403), REJECTED, "Rejected", elsewhere=True),
    Trouble("404", say(404, code="model_not_found"), REJECTED, "Rejected", elsewhere=True),
    Trouble("429", say(429), THROTTLED, "Throttled", elsewhere=True),
    Trouble("429 for 7 s", say(429, headers={"Retry-After": "7"}), THROTTLED, "Throttled", True, retry_after="7"),
    Trouble("429, account empty", say(429, code="insufficient_quota"), REJECTED, "Rejected", elsewhere=True),
    Trouble("302", reply(302, b"", headers={"Location": "http://127.0.0.1:1/"}), REJECTED, "Rejected", elsewhere=True),
    Trouble("400", say(400, message="size is wrong"), INVALID, "BadRequest"),
    Trouble("moderation", say(400, code="moderation_blocked"), REFUSED, "Refused"),
    Trouble("500", say(500), FAILED, "Failed", billed=True),
    Trouble("500 page", page(500), LOST, "Lost", billed=True),
    Trouble("502 page", page(502), LOST, "Lost", billed=True),
    Trouble("503 without a word", reply(503, b""), LOST, "Lost", billed=True),
    Trouble("524 page", page(524), LOST, "Lost", billed=True),
    Trouble("reset before it read", reset_before_reading, LOST, "Lost", billed=True),
    Trouble("reset after it read", reset_after_reading, LOST, "Lost", billed=True),
    Trouble("reset in the answer", reset_in_the_answer, LOST, "Lost", billed=True),
    Trouble("stall", stall, LOST, "Lost", billed=True, slow=True),
    Trouble("stall in the answer", stall_in_the_answer, LOST, "Lost", billed=True, slow=True),
    Trouble("200 garbage", reply(200, b"\x00\xffgarbage", "text/plain"), MALFORMED, "Malformed", billed=True),
    Trouble("200 nothing", reply(200, b""), MALFORMED, "Malformed", billed=True),
    Trouble("200 broken JSON", reply(200, b'{"data": ['), MALFORMED, "Malformed", billed=True),
    Trouble("200 empty list", data(), MALFORMED, "Malformed", billed=True),
    Trouble("200 null", reply(200, b'{"data": [{"b64_json": null}]}'), MALFORMED, "Malformed", billed=True),
    Trouble("200 error", reply(200, b'{"error": {"message": "no"}}'), FAILED, "Failed", billed=True),
    Trouble("200 endless text", reply(200, b'{"x": "' + b"x" * 2_000_000 + b'"}'), MALFORMED, "Malformed", billed=True),
    Trouble("truncated picture", data_with(PNG[:-20]), MALFORMED, "Malformed", billed=True),
    Trouble("not a picture", data_with(b"I am a text."), MALFORMED, "Malformed", billed=True),
    Trouble("a bomb", data_with(bomb()), MALFORMED, "Malformed", billed=True),
    Trouble("broken base64", data({"b64_json": "iVBORw0KGgo####"}), MALFORMED, "Malformed", billed=True),
    Trouble(
        "URL of nothing", data({"url": "http://127.0.0.1:1/x.png"}), MALFORMED, "Malformed", billed=True, slow=True
    ),
)


@pytest.mark.parametrize(
    ("trouble", "dialect"),
    [
        pytest.param(trouble, dialect, id=f"{trouble.name}-{dialect}")
        for trouble in TROUBLES
        for dialect in (TWO if trouble.slow else DIALECTS)
    ],
)
async def test_a_provider_in_trouble(trouble: Trouble, dialect: Name, door: Door, upstream: Upstream) -> None:
    before, outputs = door.purse(), len(door.outputs())
    upstream.always = trouble.behaviour
    answer = await json()(door, dialect)
    check_told(answer, dialect, trouble.told)
    assert len(upstream.seen) == 1
    assert (answer.headers.get("x-should-retry") == "false") is trouble.billed
    assert answer.headers.get("retry-after", "") == trouble.retry_after
    job = door.job(answer)
    assert (job.state, job.cost) == (JobState.FAILED, 0)
    assert job.error is not None
    assert job.error.kind == trouble.error
    (attempt,) = door.house.database.read(lambda tx: jobs.attempts(tx, job.id))
    assert attempt.state == "failed"
    assert (door.purse(), len(door.outputs())) == (before, outputs)


@pytest.mark.parametrize("trouble", TROUBLES, ids=lambda trouble: trouble.name)
async def test_another_channel_is_asked_only_where_nobody_was_billed(
    trouble: Trouble, door: Door, upstream: Upstream
) -> None:
    upstream.queue.append(trouble.behaviour)
    answer = await json(model=SHARED, size="1024x1024")(door, "openai")
    assert len(upstream.seen) == (2 if trouble.elsewhere else 1)
    if trouble.elsewhere:
        assert look(answer.picture).width == 1024
        job = door.job(answer)
        assert job.cost == PRICE
        attempts = door.house.database.read(lambda tx: jobs.attempts(tx, job.id))
        assert [(attempt.channel, attempt.state) for attempt in attempts] == [("main", "failed"), ("spare", "done")]
    else:
        check_told(answer, "openai", trouble.told)


@pytest.mark.parametrize("dialect", DIALECTS)
async def test_nobody_listens(dialect: Name, door: Door) -> None:
    answer = await json(model=DEAD)(door, dialect)
    error = check_told(answer, dialect, UNREACHABLE)
    assert "x-should-retry" not in answer.headers
    assert door.job(answer).error == jobs.stored(NotSent(error.message))


@pytest.mark.parametrize("dialect", DIALECTS)
async def test_a_channel_that_asked_for_rest_gets_it(dialect: Name, door: Door, upstream: Upstream) -> None:
    upstream.queue.append(say(429, headers={"Retry-After": "7"}))
    await json()(door, dialect)
    answer = await json()(door, dialect)
    check_told(answer, dialect, UNREACHABLE)
    assert 6 <= int(answer.headers["retry-after"]) <= 8
    assert len(upstream.seen) == 1


async def test_a_channel_whose_account_is_refused_is_set_aside(
    door: Door, upstream: Upstream, caplog: pytest.LogCaptureFixture
) -> None:
    upstream.always = say(401)
    for _ in range(3):
        check_told(await json()(door, "openai"), "openai", REJECTED)
    check_told(await json()(door, "openai"), "openai", UNREACHABLE)
    assert len(upstream.seen) == 3
    assert "set aside" in caplog.text
    await until(lambda: "set aside" in str(door.house.database.read(lambda tx: audit.newest(tx))))


async def test_a_part_that_fails_is_said_to_be_missing(door: Door, upstream: Upstream) -> None:
    """One of two pictures is broken: the other is delivered, charged alone, and the answer says so."""
    good, bad = data_url(PNG).partition(",")[2], data_url(PNG[:-20]).partition(",")[2]
    upstream.queue.append(data({"b64_json": good}, {"b64_json": bad}))
    before = door.purse().balance
    answer = await json(n=2)(door, "openai")
    assert len(answer.drawn.data) == 1
    assert "1 of 2 pictures" in answer.headers["x-pictura-short"]
    assert door.purse().balance == before - PRICE


async def test_what_was_lost_can_be_held_for_the_operator(tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("holding")
    async with (
        running(Upstream(reset_after_reading)) as upstream,
        open_door(folder, upstream, jobs=JobSettings(on_lost="hold_for_operator")) as door,
    ):
        answer = await json()(door, "openai")
        check_told(answer, "openai", LOST)
        assert door.job(answer).state is JobState.UNCERTAIN
        assert door.purse().held == PRICE
        await door.house.database.write(lambda tx: jobs.resolve(tx, answer.headers["x-pictura-job"], charge=False))
        assert door.purse().held == 0
        assert [entry.kind for entry in door.entries(STUDIO)] == ["deposit"]
