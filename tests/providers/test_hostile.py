"""Whatever a vendor answers, every provider that is found makes of it pictures, a task, or an error of the tree.

What the sandbox answers a provider is written down, and told it again with something wrong in it: right keys with wrong
values, words of the vendor's own in wrong places, pages instead of JSON, addresses that lead elsewhere.
"""

from __future__ import annotations

import ast
import asyncio
import base64
import contextlib
import functools
import inspect
import io
import json
import posixpath
import re
import socket
import sys
import unicodedata
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Literal
from urllib.parse import unquote, urlsplit

import aiohttp
import msgspec
import pytest
from aiohttp import web
from aiohttp.abc import AbstractResolver, ResolveResult
from aiohttp.typedefs import Handler
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace
from multidict import CIMultiDict
from PIL import Image
from yarl import URL

from pictura.core.errors import Failed, Lost, Malformed, NotSent, PicturaError, Refused, Rejected, UpstreamError
from pictura.core.model import Anything, ModelCard, Words
from pictura.core.money import usd
from pictura.core.picture import InMemory
from pictura.core.plugins import discover
from pictura.core.result import Delivered
from pictura.core.size import AUTO, fit
from pictura.infra.http import Client, Timeouts
from pictura.infra.spool import Spool
from pictura.providers.base import (
    Ask,
    AskPicture,
    CancellingProvider,
    Channel,
    Done,
    Pending,
    Preview,
    Provider,
    StreamingProvider,
    TaskProvider,
)
from pictura.providers.local import Engine
from pictura.providers.plain import SANDBOX_PATH, PlainProvider
from pictura.store.jobs import StoredError, stored
from tests.least import least_options, least_pictures

FOUND, _ = discover("pictura.providers", "pictura.providers", Provider)  # type: ignore[type-abstract]
#: Those that speak HTTP; the others draw in this very process.
SPEAKING = {name: kind for name, kind in FOUND.items() if kind.sandbox_path or issubclass(kind, PlainProvider)}
#: Whose tasks cost money.
TASKS = {
    name: kind for name, kind in SPEAKING.items() if issubclass(kind, TaskProvider) and not issubclass(kind, Engine)
}

providers = pytest.mark.parametrize("provider", SPEAKING.values(), ids=SPEAKING)
by_task = pytest.mark.parametrize("provider", TASKS.values(), ids=TASKS)

Serve = Callable[[Handler], Awaitable[Channel]]
OpenSpools = Callable[[], list[Spool]]
Outcome = Done | Pending | PicturaError

KEY = "sk-test-0123456789"
#: Beside its keys a channel has what anybody may know.
PUBLIC = frozenset({"access_key", "endpoint", "secret_id"})
KEY_HEADERS = frozenset({"authorization", "x-key", "x-goog-api-key", "api-key"})

MESSAGE_CHARS, WORD_CHARS = 600, 200
DEAREST, MOST_TOKENS = usd(10_000), 1_000_000_000
MOST_CHECKS = 4
EXAMPLES = 40

# -- what a vendor tells --


class Word(msgspec.Struct, frozen=True):
    """A word of the vendor's, by its number."""

    number: int


class Told(msgspec.Struct, frozen=True):
    """One answer: JSON, a list of events (each a name and JSON), or bytes."""

    status: int
    headers: tuple[tuple[str, str], ...]
    kind: Literal["json", "events", "bytes"]
    content: object


class Scene(msgspec.Struct, frozen=True):
    """A call as it went at the sandbox: what was asked, all that was answered, and what became of it."""

    ask: Ask
    answers: Sequence[Told]
    outcome: Outcome


class Change(msgspec.Struct, frozen=True):
    """One thing wrong with an answer's JSON. `place` counts its values, over and over."""

    act: Literal["put", "drop", "rename", "wrap", "repeat", "add"]
    place: int
    name: Word
    value: object


class Attack(msgspec.Struct, frozen=True):
    """What is wrong with which answer of which scene; what is None or empty stays as it is."""

    scene: int
    answer: int
    changes: Sequence[Change]
    status: int | None
    headers: Sequence[tuple[str, str]]
    body: object


# These stand for addresses of which a test knows the port only when it runs. A tuple of pairs is a JSON object.
ORIGIN, HERE, ELSEWHERE = "http://origin.invalid", "http://here.invalid", "http://elsewhere.invalid"
DOMAIN = "domain.invalid"
BREAKS = "a\x1b[31m\r\nX-Injected: 1\r\n\r\n"
NASTY: Sequence[object] = (
    *("", " ", "\0", BREAKS, "\u2028", ".", "..", "../../../evil", "a/b?c=d#e", "%2e%2e", "..\\evil", "x://evil"),
    *("NaN", "Infinity", "-1", "1e999", "0", "5", "²", "٣", "é", "E005", "x" * 900_000),
    *(f"{ELSEWHERE}/x", f"{HERE}/../x", f"{HERE}/x/../../../x", f"{HERE}/%2e%2e/x", f"{HERE}/x?y={ELSEWHERE}"),
    *(f"{HERE}@evil.invalid", f"{HERE}.evil.invalid/", f"{HERE}{'x' * 9_000}", f"{HERE}/ \r\n", "//evil.invalid/x"),
    *(f"https://{DOMAIN}/x", f"https://x.{DOMAIN}/x", f"http://{DOMAIN}/x", f"https://{DOMAIN}.evil.invalid/x"),
    *(f"https://{DOMAIN}@evil.invalid", f"https://evil.invalid\\@{DOMAIN}/", f"https://evil.invalid#.{DOMAIN}"),
    *("file:///etc/passwd", "javascript:alert(1)", "https://[::1", "https://", "http://x:y/"),
    *("data:image/png;base64,iVBORw0KGgo=", "data:image/png;base64,!!", "data:text/html,<b>", "iVBORw0KGgo"),
    *("pictura-cut:0", "pictura-cut:7"),
    *(None, True, False, 0, -1, 1, 200, 1301, 9_999.5, 10**9, 2**31, 2**63, 2**64, 10**30, -(10**30)),
    *(0.5, 1e308, -1e308, 5e-324, [], {}, [[]], [None], [{}], {"": ""}, ["a", 1, None], [[[[[[[[]]]]]]]]),
)
#: Of many words that a safety system has, none is a code.
WORDS = "Forbidden: unsafe content, moderation blocked, policy violation, NSFW"
PAGE = f"<html><body><h1>{WORDS}</h1></body></html>".encode()
BODIES: Sequence[bytes] = (b"", b"null", b"[]", b"{}", b"[[]]", b'"x"', b"{", b'{"data": NaN}', b"\xff\0", PAGE)
HEADERS: Sequence[tuple[str, str]] = (
    *(("Retry-After", when) for when in ("soon", "-5", "1e9", "999999", "9999999999", "٣", "")),
    *(("Retry-After", f"Mon, 01 Jan {year} 00:00:00 GMT") for year in ("2126", "9999", "9" * 20, "0001")),
    ("Retry-After", f"Mon, 01 Jan 2126 00:00:00 +{'9' * 20}"),
    *(("Retry-After-Ms", ms) for ms in ("1500", "999999999", "x")),
    *(("Content-Type", kind) for kind in ("text/html", "image/png", "text/event-stream", "application/octet-stream")),
    *(("Seed", seed) for seed in ("7", "9" * 30, "²", "x")),
    *(("Finish-Reason", reason) for reason in ("CONTENT_FILTERED", "SUCCESS")),
    *(("x-fal-error-type", kind) for kind in ("content_policy_violation", "x" * 3_000)),
    *(("x-litellm-response-cost", cost) for cost in ("-1", "nan", "999999e99", "999999", "0.04")),
    ("Location", f"{ELSEWHERE}/x"),
)

words = st.builds(Word, st.integers(0, 400))
numbers = st.integers(-(2**70), 2**70) | st.floats(allow_nan=False)
values = st.recursive(
    st.sampled_from(NASTY) | words | numbers | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.lists(st.tuples(words, inner), max_size=4).map(tuple),
    max_leaves=6,
)
changes = st.builds(
    Change,
    act=st.sampled_from(("put", "put", "put", "drop", "rename", "wrap", "repeat", "add")),
    place=st.integers(0, 200),
    name=words,
    value=values,
)
statuses = st.integers(200, 599) | st.sampled_from((101, 200, 202, 400, 401, 402, 403, 404, 422, 429, 500, 503))
attacks = st.builds(
    Attack,
    scene=st.integers(0, 60),
    answer=st.integers(0, 5),
    changes=st.lists(changes, max_size=3),
    status=st.none() | st.none() | statuses,
    headers=st.lists(st.sampled_from(HEADERS), max_size=2),
    body=st.none() | st.none() | st.none() | values | st.sampled_from(BODIES),
)


def altered(told: Told, attack: Attack) -> Told:
    kind, content = told.kind, told.content
    for change in attack.changes if kind != "bytes" else ():
        content = _changed(content, change)
    if attack.body is not None:
        kind, content = ("bytes" if isinstance(attack.body, bytes) else "json"), attack.body
    return Told(attack.status or told.status, (*told.headers, *attack.headers), kind, content)


def _changed(content: object, change: Change) -> object:
    paths = list(_paths([content]))
    changed = _applied([content], paths[change.place % len(paths)], change)
    return next((value for _, value in _pairs(changed)), None)


def _paths(content: object) -> Iterator[tuple[int, ...]]:
    """Where every value in a document is, by positions."""
    for index, (_, value) in enumerate(_pairs(content)):
        yield (index,)
        yield from ((index, *path) for path in _paths(value))


def _applied(content: object, path: Sequence[int], change: Change) -> object:
    pairs = list(_pairs(content))
    key, value = pairs[path[0]]
    if path[1:]:
        pairs[path[0]] = (key, _applied(value, path[1:], change))
    else:
        pairs[path[0] : path[0] + 1] = _ACTS[change.act](key, value, change)
    return dict(pairs) if isinstance(content, dict) else [value for _, value in pairs]


def _pairs(content: object) -> Iterable[tuple[object, object]]:
    if isinstance(content, dict):
        return content.items()
    return enumerate(content) if isinstance(content, list) else ()


_ACTS: Mapping[str, Callable[[object, object, Change], list[tuple[object, object]]]] = {
    "put": lambda key, value, change: [(key, change.value)],
    "drop": lambda key, value, change: [],
    "rename": lambda key, value, change: [(change.name, value)],
    "wrap": lambda key, value, change: [(key, [value])],
    "repeat": lambda key, value, change: [(key, [value] * 40)],
    "add": lambda key, value, change: [(key, value), (change.name, change.value)],
}


@functools.cache
def vocabulary(provider: type[Provider]) -> tuple[str, ...]:
    """Every text in a provider's modules that may be a key or a word on its wire."""
    modules = {kind.__module__ for kind in provider.__mro__ if issubclass(kind, Provider) and kind is not Provider}
    trees = [ast.parse(inspect.getsource(sys.modules[module])) for module in sorted(modules)]
    nodes = [node.value for tree in trees for node in ast.walk(tree) if isinstance(node, ast.Constant)]
    return tuple(sorted({text for text in nodes if isinstance(text, str) and 0 < len(text) < 60 and " " not in text}))


# -- who tells it --


class Heard(msgspec.Struct, frozen=True):
    """A request that reached the vendor; `target` as it stood on the first line."""

    target: str
    headers: Sequence[tuple[str, str]]
    body: bytes


class Vendor:
    """Hands requests on to the sandbox and writes the answers down; with a script, tells what stands there.

    `truth`: by address that stands for another the true one.
    """

    def __init__(self, sandbox: str, words: Sequence[str]) -> None:
        self.heard: list[Heard] = []
        self.written: list[Told] = []
        #: Every word that was told since the script began.
        self.words_told: set[str] = set()
        self.truth: dict[str, str] = {}
        self._script: list[Told] = []
        self._sandbox = sandbox
        self._words = words

    def play(self, script: Sequence[Told]) -> None:
        self._script = list(script)
        self.heard.clear()
        self.words_told.clear()

    async def answer(self, request: web.Request) -> web.StreamResponse:
        body = await request.read()
        self.heard.append(Heard(request.raw_path, tuple(request.headers.items()), body))
        if not self._script:
            self.written.append(await self._handed_on(request, body))
            return self._tell(self.written[-1])
        return self._tell(self._script.pop(0) if len(self._script) > 1 else self._script[0])

    async def _handed_on(self, request: web.Request, body: bytes) -> Told:
        url = URL(self._sandbox + request.raw_path, encoded=True)
        async with (
            aiohttp.ClientSession() as session,
            session.request(request.method, url, headers=request.headers, data=body, allow_redirects=False) as answer,
        ):
            return _written(answer.status, answer.headers, await answer.read(), self._sandbox)

    def _tell(self, told: Told) -> web.Response:
        headers = CIMultiDict((name, self._true(value)) for name, value in told.headers)
        self.words_told |= {*headers.values(), str(told.status)}
        return web.Response(status=told.status, headers=headers, body=self._body(told))

    def _body(self, told: Told) -> bytes:
        if isinstance(told.content, bytes):
            return told.content
        content = self._whole(told.content)
        if told.kind == "events" and isinstance(content, list):
            return b"".join(map(_event, content))
        return json.dumps(content).encode()

    def _whole(self, value: object) -> object:
        """With words for their numbers, and the true addresses."""
        if isinstance(value, dict | tuple):
            return {str(self._whole(key)): self._whole(entry) for key, entry in dict(value).items()}
        if isinstance(value, list):
            return [self._whole(entry) for entry in value]
        if isinstance(value, Word):
            value = self._words[value.number % len(self._words)]
        value = self._true(value) if isinstance(value, str) else value
        self.words_told.add(str(value))
        return value

    def _true(self, text: str) -> str:
        for stand_in, address in self.truth.items():
            text = text.replace(stand_in, address)
        return text


def _written(status: int, headers: Mapping[str, str], body: bytes, sandbox: str) -> Told:
    kept = tuple((name, value) for name, value in headers.items() if name.lower() not in _OF_THE_CONNECTION)
    kind = headers.get("Content-Type", "")
    if kind.startswith("text/event-stream"):
        events = [event.partition(b"data: ") for event in body.split(b"\n\n") if b"data: " in event]
        return Told(status, kept, "events", [[name.decode(), _slim(_read(data), sandbox)] for name, _, data in events])
    document = _read(body)
    if document is None:
        return Told(status, kept, "bytes", PIXEL if kind.startswith("image/") else body)
    return Told(status, kept, "json", _slim(document, sandbox))


_OF_THE_CONNECTION = frozenset({"content-length", "date", "server", "transfer-encoding", "connection"})


def _read(body: bytes) -> object:
    try:
        return json.loads(body)
    except ValueError:
        return None


def _event(event: object) -> bytes:
    name, data = event if isinstance(event, list) and len(event) == 2 else ("", event)
    return f"{' '.join(str(name).split())}\ndata: {json.dumps(data)}\n\n".encode()


def _slim(value: object, sandbox: str) -> object:
    """With a single pixel for every picture."""
    if isinstance(value, dict):
        return {key: _slim(entry, sandbox) for key, entry in value.items()}
    if isinstance(value, list):
        return [_slim(entry, sandbox) for entry in value]
    if isinstance(value, str) and len(value) > _LONGER_THAN_WORDS:
        return f"{value[: value.find(',') + 1]}{base64.b64encode(PIXEL).decode()}"
    return value.replace(sandbox, ORIGIN) if isinstance(value, str) else value


_LONGER_THAN_WORDS = 10_000


def _png(side: int, mode: str = "RGB") -> bytes:
    encoded = io.BytesIO()
    Image.new(mode, (side, side)).save(encoded, "png")
    return encoded.getvalue()


PIXEL = _png(1)


class Nowhere(AbstractResolver):
    """Knows no name, and remembers which it was asked for."""

    def __init__(self) -> None:
        self.asked: set[str] = set()

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        self.asked.add(host)
        raise OSError(f"{host} is not to be asked")

    async def close(self) -> None:
        """There is nothing to close."""


# -- the stage --


class Stage:
    """A provider, its vendor, and somebody else, whom nobody shall ask: `strayed` are the paths of those who did."""

    def __init__(
        self, provider: Provider, vendor: Vendor, channel: Channel, nowhere: Nowhere, open_spools: OpenSpools
    ) -> None:
        self.provider = provider
        self.vendor = vendor
        self.strayed: list[str] = []
        self._channel = channel
        self._nowhere = nowhere
        self._open_spools = open_spools

    async def play(self, ask: Ask, script: Sequence[Told]) -> list[Outcome]:
        """What becomes of a call, step by step. Every step is judged, and what was sent."""
        self._clear()
        self.vendor.play(script)
        outcomes = [await self._step(self._start(ask))]
        while isinstance(task := outcomes[-1], Pending) and len(outcomes) <= MOST_CHECKS:
            outcomes.append(await self.check(task))
        if isinstance(task, Pending) and isinstance(self.provider, CancellingProvider):
            with contextlib.suppress(PicturaError):
                await self.provider.cancel(task, self._channel)
        self._judge_requests()
        return outcomes

    async def rehearse(self, ask: Ask) -> Scene:
        """The same call at the sandbox."""
        self.vendor.written.clear()
        outcome = await self._step(self._start(ask))
        while isinstance(outcome, Pending):
            await asyncio.sleep(0.02)
            outcome = await self.check(outcome)
        return Scene(ask, tuple(self.vendor.written), outcome)

    async def check(self, task: Pending) -> Outcome:
        assert isinstance(self.provider, TaskProvider)
        return await self._step(self.provider.check(task, self._channel))

    async def _start(self, ask: Ask) -> Done | Pending:
        if not ask.partial_images or not isinstance(self.provider, StreamingProvider):
            return await self.provider.start(ask, self._channel)
        async for news in self.provider.stream(ask, self._channel):
            if isinstance(news, Done):
                return news
            assert isinstance(news, Preview) and type(news.index) is int
            news.spool.close()
        raise Lost("the stream ended without a picture")

    async def _step(self, doing: Awaitable[Done | Pending]) -> Outcome:
        try:
            outcome: Outcome = await doing
        except PicturaError as error:
            outcome = error
        if isinstance(outcome, Done):
            judge_done(outcome)
        elif isinstance(outcome, Pending):
            judge_pending(outcome, self._keys())
        else:
            judge_error(outcome, self.vendor.words_told)
        kept = {id(raw.spool) for raw in outcome.pictures} if isinstance(outcome, Done) else set()
        assert {id(spool) for spool in self._open_spools()} <= kept, "a spool stays open"
        self._clear()
        return outcome

    def _clear(self) -> None:
        for spool in self._open_spools():
            spool.close()

    def _keys(self) -> list[str]:
        return [value for name, value in self._channel.secrets.items() if name not in PUBLIC]

    def _judge_requests(self) -> None:
        strayed, looked_up = list(self.strayed), set(self._nowhere.asked)
        self.strayed.clear()
        self._nowhere.asked.clear()
        assert not strayed, "somebody else was asked"
        assert all(map(self._is_vendors, looked_up)), looked_up
        base = urlsplit(self._channel.base_url).path
        for heard in self.vendor.heard:
            path = posixpath.normpath(unquote(urlsplit(heard.target).path))
            assert path == base or path.startswith(f"{base}/"), f"{heard.target} is not below {base}"
            assert "x-injected" not in {name.lower() for name, _ in heard.headers}
            for key in self._keys():
                assert key not in unquote(heard.target) and key.encode() not in heard.body
                assert {name.lower() for name, value in heard.headers if key in value} <= KEY_HEADERS

    def _is_vendors(self, host: str) -> bool:
        """Is it of the vendor's own domain, or named in the provider's file?"""
        return f".{host}".endswith(f".{self.vendor.truth[DOMAIN]}") or host in vocabulary(type(self.provider))


def judge_done(done: Done) -> None:
    assert done.pictures
    for raw in done.pictures:
        assert (raw.spool is None) != (raw.url == "")
        assert raw.url == "" or raw.url.startswith(("http://", "https://"))
        assert raw.seed is None or type(raw.seed) is int
        told = Delivered(url=raw.url, revised_prompt=raw.revised_prompt, seed=raw.seed)
        assert msgspec.json.decode(msgspec.json.encode(told), type=Delivered) == told
    assert done.cost is None or (type(done.cost) is int and 0 <= done.cost <= DEAREST)
    if done.usage is not None:
        counts = [getattr(done.usage, name) for name in ("text_in", "image_in", "cached_in", "text_out", "image_out")]
        assert all(type(count) is int and 0 <= count <= MOST_TOKENS for count in counts), done.usage
    assert all(type(text) is str for text in (*done.texts, *done.echo, *done.echo.values()))


def judge_pending(task: Pending, keys: Sequence[str]) -> None:
    assert task.upstream_id and task.upstream_id.isprintable()
    assert 0 < task.poll_after_s < 60
    saved = msgspec.json.encode(task)
    assert msgspec.json.decode(saved, type=Pending) == task
    assert not any(key.encode() in saved for key in keys)


def judge_error(error: PicturaError, told: set[str]) -> None:
    assert 0 < len(error.message) <= MESSAGE_CHARS
    assert not CONTROLS.intersection(map(unicodedata.category, error.message)), error.message
    assert KEY not in error.message
    assert is_word(error.param or "")
    kept = stored(error)
    assert msgspec.json.decode(msgspec.json.encode(kept), type=StoredError) == kept
    if isinstance(error, Refused):
        # OpenRouter has no word for it: it lists its reasons.
        assert error.reason and is_word(error.reason)
        assert any(error.reason in word for word in told) or "reasons" in told
    if isinstance(error, UpstreamError):
        assert error.retry_after_s is None or (type(error.retry_after_s) is int and error.retry_after_s >= 0)
    assert not (error.safe_elsewhere and error.possibly_billed)


#: Control characters, halves of surrogates, ends of lines.
CONTROLS = frozenset({"Cc", "Cs", "Zl", "Zp"})


def is_word(text: str) -> bool:
    return len(text) <= WORD_CHARS and text.isprintable()


@pytest.fixture
async def stage(
    provider: type[Provider],
    serve: Serve,
    sandbox: Callable[[str], Channel],
    spools: list[Spool],
    open_spools: OpenSpools,
    tmp_path: Path,
) -> AsyncIterator[Stage]:
    def open_spool() -> Spool:
        spools.append(Spool(tmp_path))
        return spools[-1]

    async def stray(request: web.Request) -> web.Response:
        made.strayed.append(request.path)
        return web.Response()

    vendor, nowhere = Vendor(sandbox("").base_url, vocabulary(provider)), Nowhere()
    channel, elsewhere = await serve(vendor.answer), await serve(stray)
    origin = channel.base_url.removesuffix("/v1")
    channel.base_url = origin + (provider.sandbox_path or SANDBOX_PATH)
    channel.http = Client(open_spool=open_spool, transfers=asyncio.Semaphore(4), resolver=nowhere)
    channel.timeouts = Timeouts(read_s=10)
    domain = ".".join((urlsplit(provider.base_url).hostname or "nobody.invalid").split(".")[-2:])
    vendor.truth = {ORIGIN: origin, HERE: channel.base_url, ELSEWHERE: elsewhere.base_url, DOMAIN: domain}
    made = Stage(provider(), vendor, channel, nowhere, open_spools)
    if provider.name not in SCENES:
        channel.secrets = secrets(provider, "sandbox")
        SCENES[provider.name] = [await made.rehearse(ask) for ask in rehearsals(provider)]
    channel.secrets = secrets(provider, "another-secret-0123456789")
    yield made
    await channel.http.close()


#: By provider; each is rehearsed once.
SCENES: dict[str, list[Scene]] = {}


def secrets(provider: type[Provider], other: str) -> dict[str, str]:
    """The first is the key; who has a pair signs with the second."""
    names = list(provider.env) or ["api_key"]
    return {name: KEY if name == names[0] else other for name in names}


def rehearsals(provider: type[Provider]) -> Iterator[Ask]:
    """Some of a provider's models, and the first of them in trouble."""
    cards = [card for card in provider.MODELS if card.status != "retired"] or list(provider.MODELS)
    for card in {card.id: card for card in (*cards[:: max(1, len(cards) // 3)], cards[-1])}.values():
        yield asking(card)
    for trouble in ("[refuse]", "[refuse late]", "[fault:failed]", "[fault:429]", "[fault:500]"):
        yield asking(cards[0], trouble)
    if cards[0].previews and issubclass(provider, StreamingProvider):
        yield replace(asking(cards[0]), partial_images=1)


def asking(card: ModelCard, wish: str = "") -> Ask:
    picture, mask = (AskPicture(InMemory(_png(512, mode)), "image/png", 512, 512) for mode in ("RGB", "RGBA"))
    return Ask(
        card=card,
        native=card.native or card.id,
        prompt="" if card.prompt.need == "none" else f"a fox [fault:long 0.01] {wish}",
        images=(picture,) * least_pictures(card),
        mask=mask if card.modes == ("inpaint",) else None,
        n=min(2, card.max_n),
        size=fit(AUTO, card.sizes),
        params=least_options(card),
        client_id="job_01-0",
    )


# -- what holds --


@providers
@settings(
    max_examples=EXAMPLES,
    derandomize=True,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(attack=attacks)
async def test_whatever_is_answered(provider: type[Provider], stage: Stage, attack: Attack) -> None:
    scenes = SCENES[provider.name]
    scene = scenes[attack.scene % len(scenes)]
    script = list(scene.answers)
    hit = attack.answer % len(script)
    script[hit] = altered(script[hit], attack)
    await stage.play(scene.ask, script)


def page(status: int, kind: str = "text/html", content: bytes = PAGE) -> Told:
    return Told(status, (("Content-Type", kind),), "bytes", content)


def error_document(code: object) -> bytes:
    """An error as one vendor or another writes it, with words that sound like a refusal, and a code that is none."""
    error = {"message": WORDS, "msg": WORDS, "code": code, "type": code, "status": "ODD"}
    told = {"Response": {"Error": {"Code": code, "Message": WORDS}}, "detail": WORDS, "name": "odd", "errors": [WORDS]}
    return json.dumps({**told, **error, "error": error}).encode()


@providers
async def test_a_refusal_is_told_by_code(provider: type[Provider], stage: Stage) -> None:
    ask = SCENES[provider.name][0].ask
    for status in (400, 401, 402, 403, 404, 409, 422, 429, 500, 502, 503):
        for code in ("odd", 9_999):
            said = page(status, "application/json", error_document(code))
            outcome = (await stage.play(ask, [said]))[0]
            assert isinstance(outcome, PicturaError) and not isinstance(outcome, Refused), (status, outcome)


@providers
async def test_nobody_vouches_for_a_page(provider: type[Provider], stage: Stage) -> None:
    """What a proxy says of a request that went through it is no answer of the vendor's."""
    ask = SCENES[provider.name][0].ask
    for status in (200, 201, 206, 408, 499, 500, 502, 503, 504, 520, 529, 599):
        outcome = (await stage.play(ask, [page(status)]))[0]
        assert isinstance(outcome, PicturaError), status
        assert outcome.possibly_billed or issubclass(provider, Engine), (status, outcome)
    for status in (301, 401, 402, 403, 404, 405, 429):
        outcome = (await stage.play(ask, [page(status)]))[0]
        assert isinstance(outcome, Rejected), (status, outcome)


@providers
async def test_neither_success_nor_timeout_is_a_rejection(provider: type[Provider], stage: Stage) -> None:
    """Azure and LiteLLM say 408 when a model took too long."""
    ask = SCENES[provider.name][0].ask
    for status in (200, 201, 206, 408, 499):
        outcome = (await stage.play(ask, [page(status, "application/json", error_document("odd"))]))[0]
        assert isinstance(outcome, Failed | Lost | Malformed) or issubclass(provider, Engine), (status, outcome)


@by_task
async def test_a_question_that_fails_is_no_end_of_its_task(provider: type[Provider], stage: Stage) -> None:
    """The engine asks again after these; whatever else is raised ends a task that may be drawn, and billed."""
    scene = next(scene for scene in SCENES[provider.name] if isinstance(scene.outcome, Done) and len(scene.answers) > 1)
    document = error_document("odd")
    for status in (200, 302, 400, 408, 409, 413, 422, 429, 500, 502, 503, 504):
        for said in (page(status), page(status, "application/json", document if status > 200 else b"")):
            outcome = (await stage.play(scene.ask, [scene.answers[0], said]))[1]
            assert is_asked_again(outcome), (status, said.content, outcome)


def is_asked_again(outcome: Outcome) -> bool:
    if isinstance(outcome, Failed):
        return (outcome.upstream_status or 0) >= 500
    return isinstance(outcome, Pending) or (isinstance(outcome, NotSent | Lost | Rejected) and not outcome.config)


@providers
async def test_no_key_is_told(provider: type[Provider], stage: Stage) -> None:
    """A vendor that repeats the key in every sentence of its errors is heard out, but for that."""
    for scene in SCENES[provider.name]:
        if isinstance(scene.outcome, PicturaError):
            await stage.play(scene.ask, [replace(told, content=with_key(told.content)) for told in scene.answers])


def with_key(content: object) -> object:
    if isinstance(content, dict):
        return {name: with_key(value) for name, value in content.items()}
    if isinstance(content, list):
        return [with_key(value) for value in content]
    return f"{content[:400]}\n{KEY}\0" if isinstance(content, str) and " " in content else content


@providers
async def test_no_option_breaks_a_header(provider: type[Provider], stage: Stage) -> None:
    for scene in SCENES[provider.name]:
        open_words = [name for name, kind in scene.ask.card.params.items() if isinstance(kind, Words | Anything)]
        params = {**scene.ask.params, **dict.fromkeys(open_words, BREAKS)}
        await stage.play(replace(scene.ask, prompt=BREAKS, params=params), scene.answers)


@providers
async def test_a_png_is_not_compressed(provider: type[Provider], stage: Stage) -> None:
    """Its compression loses nothing, so that most vendors refuse to be told how much of it."""
    for scene in SCENES[provider.name]:
        await stage.play(replace(scene.ask, output_format="png", output_compression=37), scene.answers)
        told = any(re.search(rb"[:\s]37[,}\s]", heard.body) for heard in stage.vendor.heard)
        assert not told or issubclass(provider, PlainProvider)


@providers
async def test_who_compresses_is_told_how_much(provider: type[Provider], stage: Stage) -> None:
    for scene in SCENES[provider.name]:
        for format in provider.compresses.intersection(scene.ask.card.outputs):
            await stage.play(replace(scene.ask, output_format=format, output_compression=37), scene.answers)
            assert any(re.search(rb"[:\s]37[,}\s]", heard.body) for heard in stage.vendor.heard)


@providers
async def test_whatever_stands_in_one_place(provider: type[Provider], stage: Stage) -> None:
    for scene in SCENES[provider.name]:
        for number, told in enumerate(scene.answers if isinstance(scene.outcome, Done) else ()):
            for place in range(len(list(_paths([told.content]))) if told.kind == "json" else 0):
                for value in MISFITS:
                    script = list(scene.answers)
                    script[number] = replace(told, content=_changed(told.content, Change("put", place, Word(0), value)))
                    await stage.play(scene.ask, script)


#: What fits nowhere. True is an integer to Python, a list is in no set, dots lead out of a path, addresses elsewhere.
MISFITS: Sequence[object] = (
    *(None, True, 10**30, [], "", "..", BREAKS, "https://[::1"),
    *(f"{ELSEWHERE}/x", f"{HERE}/%2e%2e/x"),
)
