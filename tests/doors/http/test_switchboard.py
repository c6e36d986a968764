"""Which dialect a request speaks is named, in one order: prefix, own path, Host, key, openai."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pictura.dialects.base import Verb
from pictura.dialects.gemini import Gemini
from pictura.dialects.imagerouter import ImageRouter
from pictura.dialects.openai import OpenAI
from pictura.doors.http.switchboard import Found, Switchboard
from tests.doors.door import TEST, Door, connected, head, read_answer
from tests.upstream import Upstream

BOARD = Switchboard(
    {"openai": OpenAI(), "imagerouter": ImageRouter(), "gemini": Gemini()},
    {"Pictures.Example": "imagerouter", "imagerouter.io": "openai"},
)
OPENAI, IMAGEROUTER = "api.openai.com", "api.imagerouter.io"
OWN = "/v1/openai/images/generations"
SHARED = "/v1/images/generations"


def find(path: str, host: str = "127.0.0.1:4000", key: str = "", method: str = "POST") -> Found:
    return BOARD.find(method, path, host, lambda: key)


@pytest.mark.parametrize(
    ("path", "host", "key", "dialect"),
    [
        ("/imagerouter" + SHARED, OPENAI, "openai", "imagerouter"),
        ("/openai" + SHARED, IMAGEROUTER, "imagerouter", "openai"),
        (OWN, OPENAI, "openai", "imagerouter"),
        (SHARED, IMAGEROUTER, "openai", "imagerouter"),
        (SHARED, OPENAI, "imagerouter", "openai"),
        (SHARED, "API.ImageRouter.IO:8443", "openai", "imagerouter"),
        (SHARED, "pictures.example", "openai", "imagerouter"),
        (SHARED, "imagerouter.io", "imagerouter", "openai"),  # the operator's word counts more than the built-in one
        (SHARED, "unknown.example", "imagerouter", "imagerouter"),
        (SHARED, "unknown.example", "", "openai"),
        (SHARED, "unknown.example", "removed-dialect", "openai"),
        (SHARED, "", "", "openai"),
    ],
)
def test_the_order(path: str, host: str, key: str, dialect: str) -> None:
    found = find(path, host, key)
    assert found.dialect.name == dialect
    assert found.route is not None
    assert found.route.verb is Verb.DRAW


@pytest.mark.parametrize("path", ["/imagerouter" + SHARED, OWN])
def test_the_key_is_asked_only_where_nothing_else_says_it(path: str) -> None:
    def never() -> str:
        raise AssertionError("asked")

    BOARD.find("POST", path, "127.0.0.1", never)
    BOARD.find("POST", SHARED, OPENAI, never)


@pytest.mark.parametrize("path", ["/imagerouter", "/imagerouter/", "/imagerouter/v1", "/imagerouterx", "/", "", "*"])
def test_paths_that_lead_nowhere(path: str) -> None:
    assert find(path).route is None


def test_a_path_without_a_route_still_has_a_dialect() -> None:
    assert find("/v1/pictures", IMAGEROUTER).dialect.name == "imagerouter"
    assert find("/openai" + OWN).route is None


def test_names_with_slashes() -> None:
    found = find("/v1/models/vendor/a model:free", IMAGEROUTER, method="GET")
    assert found.place == {"id": "vendor/a model:free"}


#: Whatever a client may write in a path: any text, and marks that mean something there.
ANYTHING = st.text(max_size=30) | st.text("a/:%.?#\n\t\x00 ", max_size=30)


@settings(deadline=None)
@given(model=ANYTHING, verb=st.sampled_from([":generateContent", ":streamGenerateContent"]))
@pytest.mark.parametrize("start", ["/v1beta/models/", "/v1/models/", "/gemini/v1beta/models/"])
def test_any_text_for_a_model_in_the_path(start: str, model: str, verb: str) -> None:
    """The path is Gemini's on any Host, and the model is what stands there, line ends too."""
    found = find(start + model + verb, OPENAI, "openai")
    assert found.dialect.name == "gemini"
    assert found.route is not None
    assert (found.route.verb, found.place) == (Verb.DRAW, {"model": model})


@settings(deadline=None)
@given(path=ANYTHING, method=st.sampled_from(["GET", "POST", "DELETE", "PATCH"]))
def test_any_path(path: str, method: str) -> None:
    found = find(f"/gemini/{path}", method=method)
    assert found.dialect.name == "gemini"
    assert found.route is None or found.route.method == method


def test_a_line_end_is_part_of_a_name() -> None:
    assert find("/v1/models/a\nb", method="GET").place == {"id": "a\nb"}
    assert find("/v1beta/models/m:generateContent\n", OPENAI).route is None


def test_methods() -> None:
    imagerouter, openai = ImageRouter(), OpenAI()
    assert BOARD.methods(SHARED, openai) == ["POST"]
    assert BOARD.methods("/openai" + SHARED, openai) == ["POST"]
    assert BOARD.methods("/imagerouter/v1/auth/test", imagerouter) == ["GET", "POST"]
    assert BOARD.methods("/v1/pictures", openai) == []


def test_hosts() -> None:
    assert {OPENAI, IMAGEROUTER, "pictures.example"} <= set(BOARD.hosts)


@pytest.mark.asyncio(loop_scope="module")
async def test_a_key_may_name_its_dialect(door: Door, upstream: Upstream) -> None:
    """For a client that can change neither its path nor its host."""
    await door.new_key("sk-pic-of-a-router", dialect="imagerouter")
    fields = {"model": "test/test", "prompt": "a fox"}
    answer = await door.ask(fields, path=SHARED, key="sk-pic-of-a-router")
    assert set(answer.fields) == {"created", "data", "latency", "cost"}
    wrong = await door.ask({}, path=SHARED, key="sk-pic-of-a-router")
    assert wrong.error.message == "'model' is a required parameter"
    plain = await door.ask(fields, path=SHARED, key=TEST)
    assert "latency" not in plain.fields
    stranger = await door.ask(fields, path=SHARED, key="sk-nobodys")
    assert stranger.error.code == "invalid_api_key"
    named = await door.ask(fields, path="/openai" + SHARED, key="sk-pic-of-a-router")
    assert "latency" not in named.fields


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize("slash", ["%2f", "%2F"])
@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("GET /v1beta/models/nobody{}model", '"status":"NOT_FOUND"'),
        ("POST /v1beta/models/nobody{}model:generateContent", '"status":"NOT_FOUND"'),
        ("POST /v1/models/nobody{}model:generateContent", '"status":"NOT_FOUND"'),
        ("GET /v2/models/nobody{}model", '"code":"model_not_found"'),
        ("GET /imagerouter/v1/models/nobody{}model", '"code":"model_not_found"'),
    ],
)
async def test_a_slash_that_a_client_wrote_as_a_code(line: str, told: str, slash: str, door: Door) -> None:
    """No client library lets it stand, so it is written by hand."""
    body = b'{"contents": [{"parts": [{"text": "a fox"}]}]}'
    async with connected(door.port) as (reader, writer):
        method, path = line.format(slash).split()
        writer.write(head(method, path, key=TEST, content_length=len(body), content_type="application/json") + body)
        answer = await read_answer(reader)
    assert answer.status == 404
    assert told in answer.body.decode() and "nobody/model" in answer.body.decode()


@pytest.mark.asyncio(loop_scope="module")
async def test_infrastructure_answers_on_any_host(door: Door) -> None:
    for host in (OPENAI, IMAGEROUTER, "unknown.example"):
        answer = await door.send("GET", "/health", headers={"Host": host})
        assert (answer.status, answer.body) == (200, b'{"status":"ok"}')
        assert answer.headers["x-request-id"].startswith("req_")


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize(
    ("method", "path", "key", "dialect"),
    [
        ("GET", "/v1/models", "x-goog-api-key", b'"displayName"'),
        ("GET", "/v1/models", "Authorization", b'"object":"list"'),
        ("POST", "/v1/images/generations", "x-goog-api-key", b'"b64_json"'),
    ],
)
async def test_a_header_names_a_dialect_that_knows_the_path(
    method: str, path: str, key: str, dialect: bytes, door: Door
) -> None:
    value = TEST if key == "x-goog-api-key" else f"Bearer {TEST}"
    body = b'{"model": "test/test", "prompt": "a fox"}' if method == "POST" else None
    answer = await door.send(method, path, body, headers={key: value, "Content-Type": "application/json"})
    assert answer.status == 200
    assert dialect in answer.body


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize("prefix", ["", "/omnirouters", "/mixroute", "/openopen8", "/quickrouter"])
async def test_geminis_paths_are_had_beside_every_routers_own(prefix: str, door: Door) -> None:
    path = f"{prefix}/v1beta/models/test/test:generateContent"
    body = b'{"contents": [{"parts": [{"text": "a fox"}]}]}'
    answer = await door.send("POST", path, body, key=TEST, headers={"Content-Type": "application/json"})
    assert (answer.status, b'"candidates"' in answer.body) == (200, True)


@pytest.mark.asyncio(loop_scope="module")
async def test_a_path_nobody_knows_is_told_by_whom_it_belongs_to(door: Door) -> None:
    answer = await door.send("POST", "/v1beta/models/x:countTokens", b"{}", key=TEST)
    assert answer.status == 404
    assert b'"status":"NOT_FOUND"' in answer.body
