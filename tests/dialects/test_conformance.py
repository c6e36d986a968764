"""What every dialect keeps to, whoever wrote it: all that are found are tried."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pictura.core import errors, ids
from pictura.core.errors import CallerError, PicturaError, RateLimited
from pictura.core.job import JobState
from pictura.core.model import ModelCard, Source
from pictura.core.picture import Inline
from pictura.core.plugins import discover
from pictura.core.price import PerPicture, Usage
from pictura.core.request import Body, ImageRequest, InputPicture, Upload, mark
from pictura.core.result import Delivered, ImageResult
from pictura.core.views import Account, Call, JobView, KeyUsage, ModelView
from pictura.dialects.base import Dialect, Reply, Route, Verb, answer
from tests.dialects.speaking import CALL, CHINESE, HERE, Nothing, upload

FOUND, BROKEN = discover("pictura.dialects", "pictura.dialects", Dialect)  # type: ignore[type-abstract]
DIALECTS = {name: kind() for name, kind in sorted(FOUND.items())}
each = pytest.mark.parametrize("dialect", DIALECTS.values(), ids=DIALECTS)

NOW_MS = 1_769_286_389_027
SECRET = "sk-live-secret"
#: What a dialect's table decides, and `stream`, which Gemini's path decides.
HABITS = (
    *("delivery", "output_format", "unknown", "harmless", "takes", "adjustable", "words", "max_prompt_chars"),
    "stream",
)

REQUEST = ImageRequest(model="gpt-image-2", prompt="a fox")
RESULT = ImageResult(
    created_ms=NOW_MS,
    pictures=(Delivered(key="a", media_type="image/webp", width=64, height=64), Delivered(key="b")),
    latency_ms=10,
    cost=4_000,
    usage=Usage(text_in=3, image_out=196),
    adjusted=("image_size=3K→2K",),
    ignored=("x\r\nset-cookie: a",),
    short="2 of 3 came",
)
CARD = ModelCard(
    id="vendor/model:free", aliases=("model",), price=PerPicture(4_000), source=Source("a test", "2026-11")
)
MODEL = ModelView(CARD, ("openai",), 3, NOW_MS // 1000)
JOBS = [
    JobView("job_1", "studio", JobState.SUCCEEDED, REQUEST, NOW_MS, result=RESULT),
    JobView("job_2", "studio", JobState.FAILED, REQUEST, NOW_MS, error=errors.Failed("the provider failed")),
    *(JobView("job_3", "studio", state, REQUEST, NOW_MS, progress=10) for state in JobState if not state.terminal),
]
ACCOUNTS = [
    Account(balance=None, available=None, spent=0, deposited=0),
    Account(2, 1, 3, 5, (KeyUsage("key_1", "a", 1, 1, 1, True, cap=3, expires_s=9),)),
]
VIEWS: dict[Verb, list[tuple[object, ...]]] = {
    Verb.JOB: [(job, HERE) for job in JOBS],
    Verb.CANCEL: [(job, HERE, stopping) for job in JOBS for stopping in (True, False)],
    Verb.CATALOGUE: [([],), ([MODEL],)],
    Verb.MODEL: [(MODEL,)],
    Verb.ACCOUNT: [(account,) for account in ACCOUNTS],
    Verb.PLAIN: [(None,)],
}
UPLOADS = [upload("image"), upload("mask")]

#: What the original tells as an answer without a picture, in a field that its clients look at.
NO_ERROR_THERE = {("gemini", "content_refused")}

#: Of each router's page, one body with what is peculiar to it.
BODIES: dict[str, dict[str, object]] = {
    "imagerouter": {"prompt": "p", "quality": "auto", "size": "auto", "output_format": "webp"},
    "omnirouters": {"resolution": "4K", "images": ["https://a.example/1"], "aspect_ratio": "16:9", "n": 3},
    "quickrouter": {"prompt": "p", "aspect_ratio": "21:9", "style": "vivid", "n": "2", "user": "u"},
    "mixroute gemini": {
        "size": "16:9",
        "image_size": "2K",
        "mime_type": "image/png",
        "response_modalities": "image",
        "contents": [{"role": "user", "parts": [{"text": "p"}, {"image": mark(0)}]}],
    },
    "mixroute qwen": {
        "input": {"messages": [{"role": "user", "content": [{"text": "p"}]}]},
        "parameters": {"negative_prompt": "1", "prompt_extend": True, "seed": "4", "watermark": True},
    },
    "mixroute seedream": {
        "size": "2048x2048",
        "watermark": False,
        "guidance_scale": 2.5,
        "optimize_prompt_options": {"mode": "standard"},
        "prompt": "p",
        "contents": [{"role": "user", "parts": [{"image": mark(0)}, {"text": "p"}]}],
    },
    "mixroute gpt": {"prompt": "p", "image": mark(0), "input_fidelity": "high", "n": 1},
    "openopen8": {"prompt": "p", "n": 1, "size": "1024x1024", "output_compression": 50, "watermark": True},
    "openai": {
        "prompt": "p",
        "images": [{"image_url": mark(0)}],
        "mask": {"image_url": mark(1)},
        "safety_identifier": "u",
        "complexity": "low",
    },
    "gemini": {
        "contents": [{"parts": [{"text": "p"}, {"inlineData": {"mimeType": "image/png", "data": mark(0)}}]}],
        "generationConfig": {"seed": 7, "candidateCount": 2, "imageConfig": {"aspectRatio": "4:5", "imageSize": "2K"}},
        "safetySettings": [],
    },
    "of nobody": {"prompt": "p", "unheard_of": {"a": [1]}},
}


def body(fields: dict[str, object], model: str = "gpt-image-2") -> Body:
    return Body({"model": model, "response_format": "url", "output_format": "png", **fields}, list(UPLOADS))


def without_habits(request: ImageRequest) -> ImageRequest:
    """As any dialect would have decoded it."""
    return msgspec.structs.replace(request, **{name: getattr(REQUEST, name) for name in HABITS})


def every_error() -> list[PicturaError]:
    kinds = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, PicturaError)]
    return [kind(f"{kind.__name__} happened") for kind in kinds]


def sendable(value: object) -> object:
    """`value` with a word in each picture's place; raises for what JSON cannot say."""
    if isinstance(value, Inline):
        return f"{value.prefix}base64"
    if isinstance(value, msgspec.Raw):
        return bytes(value).decode()
    if isinstance(value, dict):
        return {key: sendable(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [sendable(item) for item in value]
    assert value is None or isinstance(value, str | int | float), f"{value!r} is nothing that JSON says"
    return value


def check_reply(reply: Reply) -> bytes:
    for name, value in reply.headers.items():
        assert name == name.lower()
        assert value.encode("latin-1").decode().isprintable()
    return reply.body if isinstance(reply.body, bytes) else msgspec.json.encode(sendable(reply.body))


def test_ours_are_found() -> None:
    assert {"gemini", "imagerouter", "mixroute", "omnirouters", "openai", "openopen8", "quickrouter"} <= set(DIALECTS)
    assert not BROKEN


def test_hosts_and_own_paths_name_one_dialect() -> None:
    hosts = Counter(host for dialect in DIALECTS.values() for host in dialect.hosts)
    paths = Counter(
        (route.method, route.path) for dialect in DIALECTS.values() for route in dialect.routes if route.own
    )
    answers = {((route.method, route.path), route.answer) for dialect in DIALECTS.values() for route in dialect.routes}
    assert max(hosts.values()) == 1
    assert max(paths.values()) == 1
    # A family shares paths that one of it owns: whoever answers says the same.
    assert all(len([each for known, each in answers if known == (method, path)]) == 1 for method, path in paths)


@each
def test_routes(dialect: Dialect) -> None:
    assert max(Counter((route.method, route.path) for route in dialect.routes).values()) == 1
    for route in dialect.routes:
        assert route.path.startswith("/")
        assert (route.answer is None) is (route.verb is Verb.DRAW)
        assert "{id" in route.path or route.verb not in (Verb.MODEL, Verb.JOB)
    assert any(route.verb is Verb.DRAW for route in dialect.routes)


@each
def test_every_route_answers(dialect: Dialect) -> None:
    for route in dialect.routes:
        for views in VIEWS.get(route.verb, []):
            call = Call(request_id="req_1", method=route.method, path=route.path)
            assert check_reply(answer(route, dialect, call, *views))


@each
def test_a_route_without_an_answer(dialect: Dialect) -> None:
    with pytest.raises(TypeError, match="has no answer"):
        answer(Route("POST", "/x", Verb.DRAW), dialect, Call(request_id="req_1"))


@each
@pytest.mark.parametrize("delivery", ["url", "b64_json", "b64_ephemeral"])
@pytest.mark.parametrize("operation", ["generate", "edit"])
def test_pictures(dialect: Dialect, delivery: str, operation: str) -> None:
    request = msgspec.structs.replace(REQUEST, delivery=delivery, operation=operation)
    call = Call(request_id="req_1", job_id=ids.new("job"))
    reply = dialect.picture(call, request, RESULT, HERE)
    text = check_reply(reply)
    assert reply.status == 200
    assert (b"https://img.example/a" in text) is (delivery == "url")
    assert (b"base64" in text) is (delivery != "url")
    assert reply.headers["x-pictura-adjusted"].encode("latin-1").decode() == "image_size=3K→2K"
    assert reply.headers["x-pictura-ignored"] == "x  set-cookie: a"
    assert reply.headers["x-pictura-short"] == "2 of 3 came"
    for event in dialect.event(call, request, RESULT, HERE):
        assert not set(event.name) & set("\r\n")
        msgspec.json.encode(sendable(event.data))
    shown = dialect.preview(call, request, 0, Inline(Nothing()))
    assert shown is None or msgspec.json.encode(sendable(shown.data))


@each
def test_the_moment_of_creation(dialect: Dialect) -> None:
    """Milliseconds where the router's page says so, else seconds; never a thousand times off."""
    text = check_reply(dialect.picture(Call(request_id="req_1"), REQUEST, RESULT, HERE))
    unit = NOW_MS if dialect.name == "imagerouter" else NOW_MS // 1000
    assert f'"created":{unit}'.encode() in text.replace(b": ", b":") or b'"created"' not in text


@each
def test_errors_have_their_true_status(dialect: Dialect) -> None:
    for error in every_error():
        reply = dialect.error(Call(request_id="req_1"), error)
        text = check_reply(reply)
        assert type(error).__name__.encode() in text
        assert b"req_1" in text
        assert b"Traceback" not in text
        assert reply.status // 100 == error.status // 100 or (dialect.name, error.code) in NO_ERROR_THERE
        assert (reply.headers.get("x-should-retry") == "false") >= error.possibly_billed


@each
def test_errors_tell_nothing_of_what_caused_them(dialect: Dialect) -> None:
    error = errors.HouseError("something broke here")
    error.__cause__ = ValueError(SECRET)
    error.add_note(SECRET)
    assert SECRET.encode() not in check_reply(dialect.error(Call(request_id="req_1"), error))


@each
def test_a_strangers_error_is_told_as_its_base(dialect: Dialect) -> None:
    class Slower(RateLimited):
        pass

    class Odd(Slower):
        code = "odd"

    known = dialect.row(RateLimited("slow down"))
    assert dialect.row(Slower("slow down")) == known
    assert dialect.row(Odd("slow down")) == known
    reply = dialect.error(Call(request_id="req_1"), Odd("slow down", retry_after_s=7))
    assert (reply.status, reply.headers["retry-after"]) == (429, "7")


@each
def test_every_error_has_a_line_of_its_own(dialect: Dialect) -> None:
    codes = {type(error).code for error in every_error()} - {"error"}
    assert codes == set(dialect.errors)


@each
@pytest.mark.parametrize("page", BODIES)
def test_the_union_is_the_same_everywhere(dialect: Dialect, page: str) -> None:
    call = Call(request_id="req_1")
    everywhere = [
        one.decode(call, body(BODIES[page], "some-model"), edit=False) for one in (dialect, *DIALECTS.values())
    ]
    plain = [without_habits(one) for one in everywhere]
    assert all(one == plain[0] for one in plain)
    assert all((one.delivery, one.output_format) != ("", "") for one in everywhere)


@each
def test_a_form_is_the_same_everywhere(dialect: Dialect) -> None:
    """Of a form the texts are read as the values that JSON would have."""
    fields = {"model": "m", "prompt": "p", "n": "2", "size": "1024x1024", "watermark": "true", "seed": "7"}
    sent = Body({**fields, "svg[model]": "x"}, [upload("image[]"), upload("mask")], form=True)
    request = dialect.decode(Call(request_id="req_1"), sent, edit=True)
    assert (request.operation, request.n, request.mask) == ("edit", 2, InputPicture(ref="upload:1"))
    assert request.params == {"watermark": True, "seed": 7, "svg": {"model": "x"}}
    assert without_habits(request) == without_habits(DIALECTS["openai"].decode(Call(request_id="r"), sent, edit=True))


@each
def test_limits_say_what_the_door_needs(dialect: Dialect) -> None:
    limits = dialect.habits.limits
    assert min(limits.pictures, limits.picture_bytes, limits.edit_picture_bytes, limits.text_bytes) > 0
    too_many: dict[str, object] = {"images": [f"https://a.example/{n}" for n in range(limits.pictures + 1)]}
    with pytest.raises(errors.BadRequest, match="pictures were sent"):
        dialect.decode(Call(request_id="req_1"), body(too_many), edit=False)


# -- anything at all --

#: Names that mean something in one dialect or another, at the top or further in, and texts that do.
PLACES = "model stream mask image_url image[] images[1] messages role parts content text url file_id data created seed"
OF_GEMINI = "inlineData fileData fileUri generationConfig imageConfig aspectRatio candidateCount response_format user n"
OF_OTHERS = "sequential_image_generation sequential_image_generation_options max_images svg[model] resolution"
OF_PAGES = {name for sent in BODIES.values() for name in sent}
NAMES = st.sampled_from(sorted({*PLACES.split(), *OF_GEMINI.split(), *OF_OTHERS.split(), *OF_PAGES}))
SAYINGS = "https://a.example/a data:,x 3 1024x1024 16:9 4K url true auto flux-1"
WORDS = st.sampled_from([mark(0), mark(1), mark(2), *SAYINGS.split()])
TEXTS = WORDS | st.text(max_size=6) | st.sampled_from(["\ud800", "a\x00b", "9" * 400, " "])
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES | st.text(max_size=4), inner, max_size=3),
    max_leaves=8,
)
FIELDS = st.dictionaries(NAMES | st.text(max_size=4), VALUES, max_size=6)
#: A form knows nothing but texts, once or several times, and files.
TEXT_FIELDS = st.dictionaries(NAMES | st.text(max_size=6), TEXTS | st.lists(TEXTS, min_size=2, max_size=3), max_size=6)
FILES = st.lists(
    st.builds(
        Upload,
        st.sampled_from(["image", "image[]", "mask", "mask[]", "attachment", "", "\udfff"]),
        st.just(Nothing()),
        st.just("image/png"),
        st.sampled_from(["", "fox.png"]),
        st.sampled_from(["", "", "", "it is cut short"]),
    ),
    max_size=4,
)
BODY = st.builds(Body, FIELDS, st.just([*UPLOADS, upload("", "")])) | st.builds(Body, TEXT_FIELDS, FILES, st.just(True))
#: Nothing that is one router's own affair: its models, MixRoute's groups, streams, what Gemini refuses in contents,
#: the answer that QuickRouter's page shows as a request.
COMMON = BODY.map(lambda sent: Body({**sent.fields, "model": "some-model"}, sent.uploads, sent.form)).filter(
    lambda sent: not re.search("sequential|stream|partial|contents|created", repr(sent.fields))
)


@each
@settings(deadline=None, max_examples=100)
@given(sent=BODY, edit=st.booleans())
def test_whatever_comes_is_decoded_or_the_callers_error(dialect: Dialect, sent: Body, edit: bool) -> None:
    call = Call(request_id="req_1", place={"model": "some-model"})
    try:
        request = dialect.decode(call, sent, edit=edit)
    except CallerError as error:
        reply = dialect.error(call, error)
        assert reply.status == dialect.row(error).status
        assert 400 <= reply.status < 500
        assert b"req_1" in check_reply(reply)
    else:
        assert msgspec.json.decode(msgspec.json.encode(request), type=ImageRequest) == request


@settings(deadline=None, max_examples=300)
@given(sent=COMMON)
def test_whatever_comes_means_the_same_everywhere(sent: Body) -> None:
    """Decoded or refused, for the same reason: only habits differ."""
    outcomes = {name: outcome(dialect, sent) for name, dialect in DIALECTS.items()}
    assert all(one == outcomes["openai"] for one in outcomes.values()), outcomes


def outcome(dialect: Dialect, sent: Body) -> object:
    try:
        return without_habits(dialect.decode(Call(request_id="req_1"), sent, edit=False))
    except CallerError as error:
        return type(error), error.param, error.message


@each
@pytest.mark.parametrize("call", [CALL, CHINESE], ids=["English", "Chinese"])
def test_taking_back(dialect: Dialect, call: Call) -> None:
    """Will it be stopped, or not? And it is told apart from what failed by itself."""
    (running, *_), hands = [job for job in JOBS if job.result is None and job.error is None], HERE
    stopping = dialect.taken_back(call, running, hands, stopping=True)
    late = dialect.taken_back(call, running, hands, stopping=False)
    assert (stopping.status, late.status) == (202, 409)
    before, during, after = (fields(reply) for reply in (dialect.task(call, running, hands), stopping, late))
    assert during == {**before, "cancelling": True}
    assert {**after, **before} == after and {"error", "message"} <= after.keys() - before.keys()
    for job in JOBS[:2]:
        assert dialect.taken_back(call, job, hands, stopping=False) == dialect.task(call, job, hands)
    told = [fields(dialect.error(call, kind("why"))) for kind in (errors.Cancelled, errors.Failed, errors.TooLate)]
    assert [one for one in told if told.count(one) > 1] == []
    assert dialect.row(errors.Cancelled("why")).status == 499


def fields(reply: Reply) -> Mapping[str, object]:
    assert isinstance(reply.body, Mapping)
    return reply.body


@each
def test_a_stream_is_asked_for_in_the_body(dialect: Dialect) -> None:
    """But at Gemini, where the path says so, and at ImageRouter, which does not stream."""
    request = dialect.decode(Call(request_id="req_1"), body({"stream": True}), edit=False)
    assert request.stream is (dialect.name not in ("gemini", "imagerouter"))
    assert request.stream or request.extra == {"stream": True}
