"""What bad input gets, dialect by dialect: the right status and envelope, at most one call upstream unless that call is
provably unbilled, the hold released, and nothing left behind."""

from __future__ import annotations

import asyncio
import logging
import re
import socket
import struct
import zlib
from collections.abc import AsyncIterator, Callable, Iterator

import msgspec
import pytest
import pytest_asyncio

from pictura.core.errors import NotSent
from pictura.core.job import JobState
from pictura.infra.config import JobSettings
from pictura.store import audit, jobs
from pictura.store.keys import Project, make_project
from tests.doors.door import (
    EDITS,
    GENERATIONS,
    KEYS,
    LIVE,
    MODEL,
    PRICE,
    SHARED,
    STUDIO,
    TEST,
    Answer,
    DialectName,
    Door,
    Send,
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
DIALECTS: tuple[DialectName, ...] = ("openai", "imagerouter")


class Told(msgspec.Struct, frozen=True):
    """How one kind of error is told: status, type and code of openai, status and type of imagerouter."""

    openai: tuple[int, str, str | None]
    imagerouter: tuple[int, str]


_WRONG = "invalid_request_error"
INVALID = Told((400, _WRONG, None), (400, _WRONG))
VALUE = Told((400, _WRONG, "invalid_value"), (400, _WRONG))
LARGE = Told((413, _WRONG, "request_too_large"), (413, _WRONG))
KIND = Told((415, _WRONG, "unsupported_media_type"), (415, _WRONG))
KEY = Told((401, _WRONG, "invalid_api_key"), (401, "unauthorized"))
FORBIDDEN = Told((403, _WRONG, "insufficient_permissions"), (403, "access_denied"))
MONEY = Told((429, "insufficient_quota", "insufficient_quota"), (402, "internal_error"))
RATE = Told((429, "requests", "rate_limit_exceeded"), (429, "rate_limit_error"))
NO_MODEL = Told((404, _WRONG, "model_not_found"), (400, _WRONG))
NO_PATH = Told((404, _WRONG, None), (404, _WRONG))
REFUSED = Told((400, "image_generation_user_error", "moderation_blocked"), (400, "request_moderated"))
UNREACHABLE = Told((503, "server_error", "upstream_unreachable"), (503, "internal_error"))
REJECTED = Told((502, "server_error", "upstream_rejected"), (502, "internal_error"))
FAILED = Told((502, "server_error", "upstream_failed"), (502, "internal_error"))
MALFORMED = Told((502, "server_error", "upstream_malformed"), (502, "internal_error"))
LOST = Told((504, "server_error", "upstream_lost"), (504, "timeout_error"))


class Case(msgspec.Struct, frozen=True):
    """A request that is refused before any provider is asked. `says` is part of the message."""

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
    async with open_door(
        tmp_path_factory.mktemp("house"),
        shared_upstream,
        channels=(*usual_channels(shared_upstream), dead),
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


def check_told(answer: Answer, dialect: DialectName, told: Told) -> None:
    """Status and envelope, letter by letter; the request id in both places; nothing that is nobody's business."""
    error = answer.error
    fields = msgspec.json.decode(answer.body, type=dict[str, dict[str, object]])
    assert list(fields) == ["error"]
    if dialect == "openai":
        assert (answer.status, error.type, error.code) == told.openai, answer.body
        assert set(fields["error"]) == {"message", "type", "param", "code", "request_id"}
    else:
        assert (answer.status, error.type) == told.imagerouter, answer.body
        assert set(fields["error"]) == {"message", "type", "request_id"}
    assert answer.headers["content-type"] == "application/json"
    assert re.fullmatch(r"req_[0-9a-z]{26}", error.request_id)
    assert answer.headers["x-request-id"] == error.request_id
    check_discreet(answer)


def check_discreet(answer: Answer) -> None:
    shown = answer.body.decode() + str(answer.headers)
    assert "Traceback" not in shown
    assert ".py" not in shown
    for secret in (*KEYS, "sk-live-page-secret", str(answer.headers.get("authorization", "no header"))):
        assert secret not in shown


# -- refused at the door --


def json(key: str = LIVE, edit: bool = False, **fields: object) -> Send:
    """A JSON request that is right but for `fields`; None takes a field away."""

    async def send(door: Door, dialect: DialectName) -> Answer:
        whole = {"model": MODEL, "prompt": "a fox", **fields}
        body = {name: value for name, value in whole.items() if value is not None}
        return await door.ask(body, path=(EDITS if edit else GENERATIONS)[dialect], key=key)

    return send


def text(body: bytes, kind: str = "application/json", *, key: str = LIVE) -> Send:
    """A body as it is."""

    async def send(door: Door, dialect: DialectName) -> Answer:
        return await door.ask(body, path=GENERATIONS[dialect], key=key, headers={"Content-Type": kind})

    return send


def pictures(*images: bytes, mask: bytes = b"", **texts: str) -> Send:
    """A form with pictures."""

    async def send(door: Door, dialect: DialectName) -> Answer:
        files = [png_file("image[]", image) for image in images]
        files += [png_file("mask", mask)] if mask else []
        return await door.ask_form({"model": MODEL, "prompt": "a fox", **texts}, files, path=EDITS[dialect])

    return send


def by_url(url: Callable[[Door], str]) -> Send:
    """An edit of the picture at a URL."""

    async def send(door: Door, dialect: DialectName) -> Answer:
        door.upstream.files["/page"] = file(b"<html>no picture</html>", "text/html")
        door.upstream.files["/away"] = file(b"", status=302, headers={"Location": f"{door.url}/health"})
        door.upstream.files["/huge"] = file(bytes(50_000_001))
        images = {"images": [{"image_url": url(door)}]}
        return await door.ask({"model": MODEL, "prompt": "a fox", **images}, path=EDITS[dialect])

    return send


def bomb() -> bytes:
    """A small PNG whose header promises 60 000 x 60 000 pixels."""
    header = b"IHDR" + struct.pack(">IIBBBBB", 60_000, 60_000, 8, 6, 0, 0, 0)
    chunk = struct.pack(">I", 13) + header + struct.pack(">I", zlib.crc32(header))
    return b"\x89PNG\r\n\x1a\n" + chunk + picture()[33:]


PNG = picture()
LARGE_PNG = PNG + bytes(25_000_001 - len(PNG))
SEVENTEEN = [{"image_url": data_url(PNG)}] * 17

CASES = (
    Case("no key", json(key=""), KEY, says="no API key"),
    Case("wrong key", json(key="sk-pic-nobodys"), KEY, says="not known"),
    Case("endless key", json(key="sk-pic-" + "x" * 1000), KEY, says="not known"),
    Case("expired key", json(key="sk-pic-expired"), KEY, says="expired"),
    Case("disabled key", json(key="sk-pic-disabled"), KEY, says="not known"),
    Case("key that may not draw", json(key="sk-pic-admin-only"), FORBIDDEN, says="draw"),
    Case("model not allowed", json(key="sk-pic-limited"), FORBIDDEN, says=SHARED),
    Case("address not allowed", json(key="sk-pic-elsewhere"), FORBIDDEN, says="127.0.0.1"),
    Case("no balance", json(key="sk-pic-poor"), MONEY, says="$0.04"),
    Case("cap reached", json(key="sk-pic-capped"), MONEY, says="$0.039999 a day"),
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
    Case("format not taken", pictures(picture(format="gif")), INVALID, "image", says="png, jpeg, webp"),
    Case("decompression bomb", pictures(bomb()), INVALID, "image", says="60000×60000"),
    Case("mask of another size", pictures(PNG, mask=picture(32, 32)), INVALID, "mask", says="32x32"),
    Case("mask that is no PNG", pictures(PNG, mask=picture(format="jpeg")), INVALID, "mask", says="png"),
    Case("mask without a picture", pictures(mask=PNG), INVALID, "image"),
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
async def test_refused(case: Case, dialect: DialectName, door: Door, upstream: Upstream) -> None:
    known, balance = len(door.jobs()), door.purse()
    answer = await case.send(door, dialect)
    check_told(answer, dialect, case.told)
    assert case.says in answer.error.message
    if dialect == "openai":
        assert answer.error.param == case.param
    assert not upstream.seen
    assert (len(door.jobs()), door.purse()) == (known, balance)


async def test_a_wrong_path_and_a_wrong_method(door: Door) -> None:
    for dialect in DIALECTS:
        nowhere = await door.send("POST", f"/{dialect}/v1/pictures", b"{}", key=LIVE)
        check_told(nowhere, dialect, NO_PATH)
        wrong = await door.send("GET", GENERATIONS[dialect], key=LIVE)
        check_told(wrong, dialect, NO_PATH)
        assert "use POST" in wrong.error.message


async def test_variations_are_not_offered(door: Door) -> None:
    kind, body = form({"model": MODEL}, [png_file("image", PNG)])
    answer = await door.send("POST", "/v1/images/variations", body, key=LIVE, headers={"Content-Type": kind})
    check_told(answer, "openai", NO_PATH)
    assert "/v1/images/edits" in answer.error.message


@pytest.mark.parametrize(("dialect", "cap"), [("openai", 50_000_000), ("imagerouter", 25_000_000)])
async def test_too_large_a_picture(dialect: DialectName, cap: int, door: Door, upstream: Upstream) -> None:
    """On both sides of the cap, to the byte; what stands after a PNG's end is tolerated."""
    texts = {"model": MODEL, "prompt": "a fox"}
    whole = PNG + bytes(cap - len(PNG))
    answer = await door.ask_form(texts, [png_file("image", whole + b"\0")], path=EDITS[dialect])
    check_told(answer, dialect, LARGE)
    assert f"{cap:,}" in answer.error.message
    assert not upstream.seen
    answer = await door.ask_form(texts, [png_file("image", whole)], path=EDITS[dialect])
    assert answer.status == 200, answer.body
    assert len(upstream.seen) == 1
    assert upstream.seen[0].files == [("image", whole)]


@pytest.mark.parametrize("dialect", DIALECTS)
async def test_too_large_a_picture_in_json(dialect: DialectName, door: Door, upstream: Upstream) -> None:
    fields = {"model": MODEL, "prompt": "a fox", "image": data_url(LARGE_PNG)}
    answer = await door.ask(fields, path=GENERATIONS[dialect])
    check_told(answer, dialect, LARGE)
    assert not upstream.seen


@pytest.mark.parametrize("dialect", DIALECTS)
async def test_unreachable_url(dialect: DialectName, door: Door, closed_port: int) -> None:
    answer = await by_url(lambda _: f"http://127.0.0.1:{closed_port}/x.png?token=secret")(door, dialect)
    check_told(answer, dialect, INVALID)
    assert "could not be reached" in answer.error.message
    assert "secret" not in answer.error.message


@pytest.mark.parametrize("dialect", DIALECTS)
async def test_a_url_that_is_none(dialect: DialectName, door: Door) -> None:
    answer = await by_url(lambda _: "http://[::1/x.png")(door, dialect)
    check_told(answer, dialect, INVALID)


@pytest.mark.parametrize("dialect", DIALECTS)
async def test_rate_limited(dialect: DialectName, door: Door, upstream: Upstream) -> None:
    text = f"sk-pic-one-a-minute-{dialect}"
    await door.new_key(text, requests_per_minute=1)
    first = await door.ask({"model": MODEL, "prompt": "a fox"}, path=GENERATIONS[dialect], key=text)
    assert first.status == 200
    second = await door.ask({"model": MODEL, "prompt": "a fox"}, path=GENERATIONS[dialect], key=text)
    check_told(second, dialect, RATE)
    assert 1 <= int(second.headers["retry-after"]) <= 60
    assert "x-should-retry" not in second.headers
    assert len(upstream.seen) == 1


@pytest.mark.parametrize("dialect", DIALECTS)
async def test_too_many_at_once(dialect: DialectName, door: Door, upstream: Upstream) -> None:
    go_on = asyncio.Event()
    upstream.always = when(go_on)
    ask = {"model": MODEL, "prompt": "a fox"}
    first = asyncio.create_task(door.ask(ask, path=GENERATIONS[dialect], key="sk-pic-one-at-once"))
    await upstream.wait_for(1)
    second = await door.ask(ask, path=GENERATIONS[dialect], key="sk-pic-one-at-once")
    check_told(second, dialect, RATE)
    assert second.headers["retry-after"] == "1"
    go_on.set()
    assert (await first).status == 200
    assert (await door.ask(ask, path=GENERATIONS[dialect], key="sk-pic-one-at-once")).status == 200
    assert len(upstream.seen) == 2


async def test_no_money_is_not_worth_a_retry(door: Door) -> None:
    for key in ("sk-pic-poor", "sk-pic-capped"):
        answer = await json(key=key)(door, "openai")
        assert answer.headers["x-should-retry"] == "false"


@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize("model", ["dall-e-3", "dall-e-2", "gpt-image-1"])
async def test_a_test_key_draws_what_is_retired(dialect: DialectName, model: str, door: Door) -> None:
    answer = await door.ask(
        {"model": model, "prompt": "a fox", "response_format": "b64_json"}, path=GENERATIONS[dialect], key=TEST
    )
    assert look(answer.picture).width == 1024
    assert answer.headers["x-pictura-sandbox"] == "true"


async def test_a_value_that_one_dialect_refuses_and_the_other_adjusts(door: Door, upstream: Upstream) -> None:
    fields = {"model": MODEL, "prompt": "a fox", "size": "1000x700"}
    answer = await door.ask(fields)
    check_told(answer, "openai", VALUE)
    assert "1536x1024" in answer.error.message
    assert not upstream.seen
    answer = await door.ask(fields, path=GENERATIONS["imagerouter"])
    assert answer.status == 200
    assert answer.headers["x-pictura-adjusted"] == "size=1000x700→1536x1024"
    assert upstream.seen[0].fields["size"] == "1536x1024"


async def test_a_field_that_one_dialect_refuses_and_the_other_ignores(door: Door, upstream: Upstream) -> None:
    fields = {"model": MODEL, "prompt": "a fox", "colour": "red"}
    answer = await door.ask(fields)
    check_told(answer, "openai", INVALID)
    assert answer.error.param == "colour"
    answer = await door.ask(fields, path=GENERATIONS["imagerouter"])
    assert answer.status == 200
    assert answer.headers["x-pictura-ignored"] == "colour"
    assert "colour" not in upstream.seen[0].fields


async def test_a_name_that_no_header_may_hold(door: Door) -> None:
    """Unknown fields are repeated in a header: what stands in them is the client's."""
    fields = {"model": MODEL, "prompt": "a fox", "a\r\nx-evil: 1\x00🦊": 1}
    answer = await door.ask(fields, path=GENERATIONS["imagerouter"])
    assert "x-evil" not in answer.headers
    assert answer.status in (200, 400)


# -- bodies that are too much --


@pytest.mark.parametrize("dialect", DIALECTS)
async def test_a_chunked_body_over_the_cap(dialect: DialectName, door: Door, upstream: Upstream) -> None:
    async def body() -> AsyncIterator[bytes]:
        yield b'{"model": "gpt-image-1.5", "prompt": "'
        for _ in range(20):
            yield b"x" * 100_000
        yield b'"}'

    answer = await door.send(
        "POST", GENERATIONS[dialect], body(), key=LIVE, headers={"Content-Type": "application/json"}
    )
    check_told(answer, dialect, LARGE)
    assert not upstream.seen


@pytest.mark.parametrize("dialect", DIALECTS)
async def test_a_prompt_of_60_mb(dialect: DialectName, door: Door, upstream: Upstream) -> None:
    """A client that does not look for an answer before it has sent everything gets to read it nevertheless."""
    start, piece = b'{"model": "gpt-image-1.5", "prompt": "', b"x" * 1_000_000
    async with connected(door.port) as (reader, writer):
        length = len(start) + 60 * len(piece) + 2
        writer.write(head("POST", GENERATIONS[dialect], Content_Type="application/json", Content_Length=length))
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


TROUBLES = (
    Trouble("401", say(401, message=f"Incorrect key {KEYS[3]}"), REJECTED, "Rejected", elsewhere=True),
    Trouble("402", say(402), REJECTED, "Rejected", elsewhere=True),
    Trouble("403", say(403), REJECTED, "Rejected", elsewhere=True),
    Trouble("403 page", page(403), REJECTED, "Rejected", elsewhere=True),
    Trouble("404", say(404, code="model_not_found"), REJECTED, "Rejected", elsewhere=True),
    Trouble("429", say(429), RATE, "Throttled", elsewhere=True),
    Trouble("429 for 7 s", say(429, headers={"Retry-After": "7"}), RATE, "Throttled", True, retry_after="7"),
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
    Trouble("stall", stall, LOST, "Lost", billed=True),
    Trouble("stall in the answer", stall_in_the_answer, LOST, "Lost", billed=True),
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
    Trouble("URL of nothing", data({"url": "http://127.0.0.1:1/x.png"}), MALFORMED, "Malformed", billed=True),
)


@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize("trouble", TROUBLES, ids=lambda trouble: trouble.name)
async def test_a_provider_in_trouble(trouble: Trouble, dialect: DialectName, door: Door, upstream: Upstream) -> None:
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
async def test_nobody_listens(dialect: DialectName, door: Door) -> None:
    answer = await json(model=DEAD)(door, dialect)
    check_told(answer, dialect, UNREACHABLE)
    assert "x-should-retry" not in answer.headers
    assert door.job(answer).error == jobs.stored(NotSent(answer.error.message))


@pytest.mark.parametrize("dialect", DIALECTS)
async def test_a_channel_that_asked_for_rest_gets_it(dialect: DialectName, door: Door, upstream: Upstream) -> None:
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
