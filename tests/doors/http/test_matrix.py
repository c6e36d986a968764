"""Every dialect in every situation: what is drawn and what is refused, who pays, what the headers tell.

With a live key of a prepaid project a scripted provider draws and the ledger is looked at; with a test key the sandbox
does. How each dialect asks for the same thing stands in the tables below, in the words of its own page.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import contextmanager

import msgspec
import pytest
import pytest_asyncio

from pictura.core.job import JobState
from pictura.core.media import Media
from pictura.store.keys import Project, make_project
from tests.doors.dialects import (
    DIALECTS,
    FAILED,
    INVALID,
    KEY,
    MONEY,
    NEW_API,
    NO_MODEL,
    NO_TASK,
    REFUSED,
    VALUE,
    Name,
    Shown,
    ask,
    ask_form,
    check_created,
    check_told,
    place,
    shown,
    shown_in,
)
from tests.doors.door import (
    LIVE,
    MODEL,
    PRICE,
    STUDIO,
    TEST,
    Answer,
    Door,
    data_url,
    look,
    open_door,
    png_file,
    until,
)
from tests.upstream import Upstream, picture, say, when

pytestmark = pytest.mark.asyncio(loop_scope="module")

Fields = Mapping[str, object]

each = pytest.mark.parametrize("dialect", DIALECTS)
#: Those that have paths for pictures, as OpenAI has: forms are taken there, and tasks asked about.
IMAGES = tuple(dialect for dialect in DIALECTS if dialect != "gemini")
#: Those whose page has edits where pictures are drawn.
ONE_PLACE = ("gemini", "mixroute", "omnirouters")
#: Who draws: a paid provider, or the sandbox.
KEYS = pytest.mark.parametrize("key", [LIVE, TEST], ids=["live", "sandbox"])

PROMPT = "a fox"
PNG = picture()
BASE64 = data_url(PNG).partition(",")[2]
PRICE_OF = {LIVE: PRICE, TEST: 0}
POOR, OTHER = "sk-pic-poor", "sk-pic-of-another-project"


# -- the same thing in the words of each dialect --


def said(dialect: Name, more: Fields | None = None, *, n: int = 1, prompt: str = PROMPT) -> dict[str, object]:
    """A prompt and how many pictures, and what more there is to say."""
    if dialect == "gemini":
        count = {"generationConfig": {"candidateCount": n}} if n > 1 else {}
        return {"model": MODEL, "contents": [{"role": "user", "parts": [{"text": prompt}]}], **count, **(more or {})}
    return {"model": MODEL, "prompt": prompt, **({"n": n} if n > 1 else {}), **(more or {})}


#: A picture of 1536x1024.
LANDSCAPE: Mapping[Name, Fields] = {
    "gemini": {"generationConfig": {"imageConfig": {"aspectRatio": "3:2"}}},
    "imagerouter": {"size": "1536x1024"},
    "mixroute": {"size": "1536x1024"},
    "omnirouters": {"aspect_ratio": "3:2", "resolution": "1K"},
    "openai": {"size": "1536x1024"},
    "openopen8": {"size": "1536x1024"},
    "quickrouter": {"aspect_ratio": "3:2"},
}

#: What a picture comes as where nobody says anything: the field, and the format.
USUAL: Mapping[Name, tuple[str, str]] = {
    "gemini": ("b64_json", "png"),
    "imagerouter": ("url", "webp"),
    "mixroute": ("b64_json", "png"),
    "omnirouters": ("url", "png"),
    "openai": ("b64_json", "png"),
    "openopen8": ("url", "png"),
    "quickrouter": ("url", "png"),
}

#: The picture to edit, in JSON.
PICTURE: Mapping[Name, Fields] = {
    "gemini": {
        "contents": [{"parts": [{"text": PROMPT}, {"inlineData": {"mimeType": "image/png", "data": BASE64}}]}],
    },
    "imagerouter": {"image": data_url(PNG)},
    "mixroute": {"contents": [{"role": "user", "parts": [{"image": data_url(PNG)}, {"text": PROMPT}]}]},
    "omnirouters": {"images": [data_url(PNG)]},
    "openai": {"images": [{"image_url": data_url(PNG)}]},
    "openopen8": {"image": data_url(PNG)},
    "quickrouter": {"image": data_url(PNG)},
}

#: A value that the dialect's router takes to the nearest one, what is told of it, and what the provider gets (None:
#: nothing of the name).
ADJUSTED: Mapping[Name, tuple[Fields, str, Fields]] = {
    "gemini": ({"generationConfig": {"temperature": 0.5}}, "temperature=0.5→none", {"temperature": None}),
    "imagerouter": ({"size": "1000x700"}, "size=1000x700→1536x1024", {"size": "1536x1024"}),
    "mixroute": ({"input_fidelity": "medium"}, "input_fidelity=medium→none", {}),
    "openopen8": ({"watermark": True}, "watermark=true→none", {"watermark": None}),
}


# -- the house of this module --


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shared_door(tmp_path_factory: pytest.TempPathFactory, shared_upstream: Upstream) -> AsyncIterator[Door]:
    async with open_door(tmp_path_factory.mktemp("house"), shared_upstream) as door:
        for name, key in (("poor", POOR), ("other", OTHER)):
            project = Project(name, name.title(), prepaid=True)
            await make_project(door.house.database, project)
            await door.new_key(key, project=project)
        yield door


@pytest_asyncio.fixture(loop_scope="module", autouse=True)
async def nothing_left(door: Door) -> AsyncIterator[None]:
    """After every test: no hold, no spool, no input, and every balance is the sum of its ledger."""
    yield
    await until(lambda: not door.left_behind() and not door.house.gateway.running)
    for project in (STUDIO, "poor", "other", "default"):
        assert door.purse(project).held == 0
        assert door.purse(project).balance == sum(entry.amount for entry in door.entries(project))
    assert not door.entries("default")  # the sandbox costs nothing


@contextmanager
def paying(door: Door, amount: int) -> Iterator[None]:
    """What is done meanwhile costs so much."""
    before = door.purse().balance
    yield
    assert door.purse().balance == before - amount


def check_drawn(door: Door, answer: Answer, key: str, count: int = 1) -> None:
    """The headers of a success, and its job."""
    job = door.job(answer)
    assert (job.state, job.cost) == (JobState.SUCCEEDED, count * PRICE_OF[key])
    assert answer.headers["x-request-id"].startswith("req_")
    assert (answer.headers.get("x-pictura-sandbox") == "true") is (key == TEST)
    assert not {"x-pictura-adjusted", "x-pictura-ignored", "x-pictura-short", "retry-after"} & answer.headers.keys()


async def media(door: Door, pictures: list[Shown]) -> list[Media]:
    found = [look(await one.bytes(door)) for one in pictures]
    assert all(one.media_type in ("", seen.type) for one, seen in zip(pictures, found, strict=True))
    return found


# -- drawing --


@each
@KEYS
async def test_text_to_image(dialect: Name, key: str, door: Door, upstream: Upstream) -> None:
    """In the size asked for, as the dialect delivers it where nobody says how."""
    with paying(door, PRICE_OF[key]):
        answer = await ask(door, dialect, said(dialect, LANDSCAPE[dialect]), key=key)
        check_drawn(door, answer, key)
    field, format = USUAL[dialect]
    (one,) = shown(dialect, answer)
    assert getattr(one, field)
    assert await media(door, [one]) == [Media(f"image/{format}", 1536, 1024)]
    assert [seen.path for seen in upstream.seen] == ["/v1/images/generations"] * (key == LIVE)
    assert all((seen.prompt, seen.fields["size"]) == (PROMPT, "1536x1024") for seen in upstream.seen)


@each
@KEYS
@pytest.mark.parametrize("delivery", ["url", "b64_json", "b64_ephemeral"])
async def test_either_delivery(dialect: Name, key: str, delivery: str, door: Door) -> None:
    with paying(door, PRICE_OF[key]):
        fields = {"response_format": delivery, "output_format": "jpeg"}
        answer = await ask(door, dialect, said(dialect, fields), key=key)
        check_drawn(door, answer, key)
    (one,) = shown(dialect, answer)
    assert bool(one.url) is (delivery == "url")
    assert (await media(door, [one]))[0].type == "image/jpeg"


@each
@KEYS
async def test_two_pictures(dialect: Name, key: str, door: Door) -> None:
    with paying(door, 2 * PRICE_OF[key]):
        answer = await ask(door, dialect, said(dialect, n=2), key=key)
        check_drawn(door, answer, key, 2)
    pictures = shown(dialect, answer)
    assert len(await media(door, pictures)) == 2
    if dialect == "imagerouter":
        assert answer.fields["cost"] == 2 * PRICE_OF[key] / 1_000_000


@each
@KEYS
async def test_an_edit_in_json(dialect: Name, key: str, door: Door, upstream: Upstream) -> None:
    with paying(door, PRICE_OF[key]):
        fields = said(dialect, PICTURE[dialect])
        answer = await ask(door, dialect, fields, edit=dialect not in ONE_PLACE, key=key)
        check_drawn(door, answer, key)
    assert len(await media(door, shown(dialect, answer))) == 1
    assert all((seen.path, seen.prompt) == ("/v1/images/edits", PROMPT) for seen in upstream.seen)
    assert all(seen.files == [("image", PNG)] for seen in upstream.seen)


@pytest.mark.parametrize("dialect", IMAGES)
@KEYS
async def test_an_edit_in_a_form(dialect: Name, key: str, door: Door, upstream: Upstream) -> None:
    mask = picture(mode="RGBA")
    with paying(door, 2 * PRICE_OF[key]):
        files = [png_file("image", PNG), png_file("mask", mask)]
        answer = await ask_form(door, dialect, {"model": MODEL, "prompt": PROMPT, "n": "2"}, files, key=key)
        check_drawn(door, answer, key, 2)
    assert len(await media(door, shown(dialect, answer))) == 2
    assert all(seen.files == [("image", PNG), ("mask", mask)] for seen in upstream.seen)


# -- what is not as asked --


@each
async def test_a_word_of_the_router_s_means_another(dialect: Name, door: Door, upstream: Upstream) -> None:
    """No model of the family knows `hd`."""
    with paying(door, PRICE):
        assert (await ask(door, dialect, said(dialect, {"quality": "hd"}))).status == 200
    assert upstream.seen[0].fields["quality"] == "high"


@pytest.mark.parametrize("dialect", ADJUSTED)
async def test_a_value_that_is_adjusted(dialect: Name, door: Door, upstream: Upstream) -> None:
    """Where its router does so, and nowhere else; it is told, to the client and on the job."""
    fields, told, sent = ADJUSTED[dialect]
    with paying(door, PRICE):
        answer = await ask(door, dialect, said(dialect, fields))
    assert len(await media(door, shown(dialect, answer))) == 1
    assert answer.headers["x-pictura-adjusted"] == told
    result = door.job(answer).result
    assert result is not None
    assert result.adjusted == (told,)
    assert {name: upstream.seen[0].fields.get(name) for name in sent} == sent


@pytest.mark.parametrize("dialect", sorted({*DIALECTS} - {"imagerouter", "mixroute"}))
async def test_a_size_that_is_not_adjusted(dialect: Name, door: Door, upstream: Upstream) -> None:
    with paying(door, 0):
        error = check_told(await ask(door, dialect, said(dialect, {"size": "1000x700"})), dialect, VALUE)
    assert "1024x1024, 1536x1024, 1024x1536" in error.message
    assert error.param == "size"
    assert not upstream.seen


@each
@KEYS
async def test_a_field_that_nobody_knows(dialect: Name, key: str, door: Door, upstream: Upstream) -> None:
    refused = dialect in ("gemini", "openai")
    with paying(door, 0 if refused else PRICE_OF[key]):
        answer = await ask(door, dialect, said(dialect, {"colour": "red"}), key=key)
    if refused:
        assert check_told(answer, dialect, INVALID).param == "colour"
        assert not upstream.seen
    else:
        assert len(shown(dialect, answer)) == 1
        assert answer.headers["x-pictura-ignored"] == "colour"
        assert all("colour" not in seen.fields for seen in upstream.seen)


# -- what is refused --


@each
@KEYS
async def test_a_refusal(dialect: Name, key: str, door: Door, upstream: Upstream) -> None:
    """By a provider's safety system: it costs nothing and is not tried elsewhere."""
    upstream.always = say(400, code="moderation_blocked", message="no foxes")
    with paying(door, 0):
        answer = await ask(door, dialect, said(dialect, prompt=f"{PROMPT} [refuse]"), key=key)
    error = check_told(answer, dialect, REFUSED)
    assert door.job(answer).state is JobState.FAILED
    assert len(upstream.seen) == (key == LIVE)
    if key == LIVE:
        assert error.message == "no foxes"


@each
async def test_no_balance(dialect: Name, door: Door, upstream: Upstream) -> None:
    answer = await ask(door, dialect, said(dialect), key=POOR)
    assert "$0.04" in check_told(answer, dialect, MONEY).message
    assert answer.headers["x-should-retry"] == "false"
    assert not upstream.seen
    assert not door.entries("poor")


@each
@KEYS
async def test_a_model_that_nobody_knows(dialect: Name, key: str, door: Door, upstream: Upstream) -> None:
    answer = await ask(door, dialect, said(dialect, {"model": "gpt-imagine-2"}), key=key)
    error = check_told(answer, dialect, NO_MODEL)
    assert "gpt-imagine-2" in error.message
    assert error.param == (None if dialect == "imagerouter" else "model")
    assert not upstream.seen


@each
@pytest.mark.parametrize("key", ["", "sk-pic-nobodys", "sk-test-nobodys"])
async def test_a_wrong_key(dialect: Name, key: str, door: Door, upstream: Upstream) -> None:
    check_told(await ask(door, dialect, said(dialect), key=key), dialect, KEY)
    assert not upstream.seen


@each
async def test_a_key_where_google_s_clients_carry_it(dialect: Name, door: Door) -> None:
    """In every dialect: a header of its own, or the query."""
    for query, headers in (("", {"x-goog-api-key": LIVE}), (f"?key={LIVE}", {})):
        answer = await ask(door, dialect, said(dialect), key="", query=query, headers=headers)
        assert len(shown(dialect, answer)) == 1


@each
async def test_who_asks_for_chinese_gets_it_where_the_original_speaks_it(dialect: Name, door: Door) -> None:
    asked = {"Accept-Language": "zh-CN,zh;q=0.9,en;q=0.8"}
    answer = await ask(door, dialect, said(dialect), key=POOR, headers=asked)
    message = check_told(answer, dialect, MONEY).message
    assert (message == "用户额度不足：剩余 $0.00，需要 $0.04") is (dialect in NEW_API)
    assert message.isascii() is (dialect not in NEW_API)


# -- asking now, fetching later --


def told_of_task(answer: Answer) -> tuple[str, dict[str, object]]:
    """A task's state, and the dialect's own answer around which it stands."""
    body = answer.fields
    assert body.pop("id") == body.pop("task_id") == answer.headers["x-pictura-job"]
    assert body.pop("object") == "image.task"
    return msgspec.convert(body.pop("status"), str), body


async def finished(door: Door, dialect: Name, path: str) -> tuple[str, dict[str, object]]:
    async with asyncio.timeout(10):
        while True:
            answer = await door.send("GET", path, key=LIVE)
            assert answer.status == 200, answer.body
            status, body = told_of_task(answer)
            if status in ("completed", "failed"):
                assert "retry-after" not in answer.headers
                return status, body
            assert (status in ("queued", "in_progress"), answer.headers["retry-after"]) == (True, "5")
            await asyncio.sleep(0.01)


@pytest.mark.parametrize("dialect", IMAGES)
@pytest.mark.parametrize("edit", [False, True], ids=["generations", "edits"])
async def test_a_task(dialect: Name, edit: bool, door: Door, upstream: Upstream) -> None:
    """Answered at once, asked about until it is done, and nobody else's affair."""
    go_on = asyncio.Event()
    upstream.always = when(go_on)
    fields = said(dialect, PICTURE[dialect] if edit else None)
    with paying(door, PRICE):
        answer = await ask(door, dialect, fields, edit=edit, query="?async=true")
        status, body = told_of_task(answer)
        assert (answer.status, status, answer.headers["retry-after"]) == (200, "queued", "5")
        check_created(dialect, body["created"])
        assert door.purse().held == PRICE
        path = f"{place(dialect, edit=edit)}/{answer.headers['x-pictura-job']}"
        for strange, key in ((path, OTHER), (path[:-1], LIVE)):
            check_no_task(await door.send("GET", strange, key=key), dialect)
        check_told(await door.send("GET", path), dialect, KEY)
        go_on.set()
        status, body = await finished(door, dialect, path)
    assert status == "completed"
    assert len(await media(door, shown_in(dialect, body))) == 1
    assert len(upstream.seen) == 1


def check_no_task(answer: Answer, dialect: Name) -> None:
    if dialect == "omnirouters":  # flat
        assert (answer.status, set(answer.fields)) == (404, {"code", "message", "data"})
        assert (answer.fields["code"], answer.fields["data"]) == ("task_not_exist", None)
    else:
        check_told(answer, dialect, NO_TASK)


@pytest.mark.parametrize("dialect", IMAGES)
async def test_a_task_that_fails(dialect: Name, door: Door, upstream: Upstream) -> None:
    """It costs nothing, and its error is the one that a waiting client would have been told."""
    upstream.always = say(500, message="the machine is broken")
    with paying(door, 0):
        answer = await ask(door, dialect, said(dialect), query="?async=true")
        job = answer.headers["x-pictura-job"]
        status, body = await finished(door, dialect, f"{place(dialect)}/{job}")
        waited = await ask(door, dialect, said(dialect))
    assert (status, str(body.pop("message")).partition(" (request id: ")[0]) == ("failed", "the machine is broken")
    check_told(waited, dialect, FAILED)
    assert body.keys() == waited.fields.keys()
    assert words(body["error"]) == words(waited.fields["error"])
    assert len(upstream.seen) == 2


def words(error: object) -> dict[str, str | int | None]:
    """What of an error is the same whoever asks."""
    told = msgspec.convert(error, dict[str, str | int | None])
    return {name: value for name, value in told.items() if name in ("type", "code", "param")}


@pytest.mark.parametrize("dialect", IMAGES)
async def test_a_task_in_the_sandbox(dialect: Name, door: Door) -> None:
    answer = await ask(door, dialect, said(dialect), key=TEST, query="?async=true")
    assert answer.headers["x-pictura-sandbox"] == "true"
    path = f"{place(dialect)}/{answer.headers['x-pictura-job']}"
    await until(lambda: door.job(answer).state is JobState.SUCCEEDED)
    fetched = await door.send("GET", path, key=TEST)
    assert fetched.headers["x-pictura-sandbox"] == "true"
    status, body = told_of_task(fetched)
    assert (status, len(shown_in(dialect, body))) == ("completed", 1)
