"""Google's SDK, synchronous and asynchronous, at both addresses of its dialect, with models of any vendor."""

from __future__ import annotations

import asyncio
import io
from collections.abc import AsyncIterator
from typing import Any

import msgspec
import pytest
import pytest_asyncio
from google import genai
from google.genai import errors, types
from PIL import Image

from pictura.core.media import Media
from tests.doors.door import LIVE, MODEL, PRICE, SHARED, TEST, Door, look, until
from tests.upstream import Behaviour, Upstream, page, picture, reply, say

pytestmark = [
    pytest.mark.asyncio(loop_scope="module"),
    pytest.mark.filterwarnings("ignore:Inheritance class AiohttpClientSession:DeprecationWarning"),
]

BANANA, PRO, OTHER = "gemini-2.5-flash-image", "gemini-3-pro-image", SHARED
PNG, JPEG = picture(), picture(80, 40, "jpeg")
SQUARE = Media("image/png", 1024, 1024)


class Google:
    """The SDK, with its two clients behind one name: what blocks runs in a thread."""

    def __init__(self, sdk: genai.Client, *, aio: bool) -> None:
        self.models = sdk.aio.models if aio else sdk.models
        self.chats = sdk.aio.chats if aio else sdk.chats
        self._aio = aio

    async def call(self, method: Any, *given: object, **named: object) -> Any:
        return await (method(*given, **named) if self._aio else asyncio.to_thread(method, *given, **named))

    async def draw(self, contents: object, model: str = BANANA, **config: object) -> types.GenerateContentResponse:
        return await self.call(
            self.models.generate_content,
            model=model,
            contents=contents,
            config=types.GenerateContentConfig(**config) if config else None,
        )

    async def every(self, method: Any, *given: object, **named: object) -> list[Any]:
        """All chunks of what streams, all entries of what comes in pages."""
        if self._aio:
            return [each async for each in await method(*given, **named)]
        return await asyncio.to_thread(lambda: list(method(*given, **named)))


def client(url: str, key: str = TEST, **options: object) -> genai.Client:
    return genai.Client(api_key=key, http_options={"base_url": url, "timeout": 20_000, **options})


#: Both clients, both addresses.
WAYS = [pytest.param((False, "/gemini"), id="sync-prefix"), pytest.param((True, ""), id="aio-bare")]


@pytest_asyncio.fixture(scope="module", loop_scope="module", params=WAYS)
async def by_key(request: pytest.FixtureRequest, shared_door: Door) -> AsyncIterator[dict[str, Google]]:
    aio, root = request.param
    with client(shared_door.url + root, TEST) as free, client(shared_door.url + root, LIVE) as live:
        yield {TEST: Google(free, aio=aio), LIVE: Google(live, aio=aio)}
        await free.aio.aclose()
        await live.aio.aclose()


@pytest.fixture
def google(by_key: dict[str, Google], door: Door) -> Google:
    """With the test key: the sandbox draws."""
    return by_key[TEST]


@pytest.fixture
def paying(by_key: dict[str, Google], door: Door) -> Google:
    """With a live key: the scripted provider draws."""
    return by_key[LIVE]


@pytest.fixture(params=["/gemini", ""], ids=["prefix", "bare"])
def base(request: pytest.FixtureRequest, door: Door) -> str:
    return f"{door.url}{request.param}"


def shown(data: bytes, kind: str = "image/png") -> types.Part:
    return types.Part.from_bytes(data=data, mime_type=kind)


def drawn(answer: types.GenerateContentResponse) -> list[bytes]:
    parts = [part for candidate in answer.candidates for part in candidate.content.parts]
    return [part.inline_data.data for part in parts if part.inline_data]


# -- pictures --


@pytest.mark.parametrize("model", [BANANA, OTHER, "flux-dev"])
async def test_text_to_image(google: Google, model: str) -> None:
    answer = await google.draw("a fox", model)
    (candidate,) = answer.candidates
    assert (candidate.finish_reason, candidate.index) == (types.FinishReason.STOP, 0)
    assert candidate.content.role == "model"
    (data,) = drawn(answer)
    assert look(data).width == 1024
    assert answer.parts[-1].as_image().image_bytes == data
    assert answer.prompt_feedback is None
    assert answer.model_version == model
    headers = answer.sdk_http_response.headers
    assert headers["x-pictura-sandbox"] == "true"
    assert answer.response_id == headers["x-pictura-job"]


async def test_tokens(google: Google) -> None:
    used = (await google.draw(["a hat", shown(PNG)])).usage_metadata
    assert used.total_token_count == used.prompt_token_count + used.candidates_token_count
    counted = {detail.modality: detail.token_count for detail in used.candidates_tokens_details}
    assert counted[types.MediaModality.IMAGE] == 1290
    assert {detail.modality for detail in used.prompt_tokens_details} == {"TEXT", "IMAGE"}


@pytest.mark.parametrize(
    ("model", "wanted", "pixels"),
    [
        (BANANA, {"aspect_ratio": "16:9"}, (1344, 768)),
        (PRO, {"aspect_ratio": "9:16", "image_size": "2K"}, (1536, 2752)),
        ("gemini-3.1-flash-image", {"aspect_ratio": "1:8", "image_size": "512"}, (192, 1536)),
        (OTHER, {"aspect_ratio": "16:9", "image_size": "1K"}, (1360, 768)),
        ("seedream-4.5", {"aspect_ratio": "3:2", "image_size": "2K"}, (2496, 1664)),
    ],
)
async def test_image_config(google: Google, model: str, wanted: dict[str, str], pixels: tuple[int, int]) -> None:
    answer = await google.draw("a fox", model, image_config=types.ImageConfig(**wanted))
    found = look(drawn(answer)[0])
    assert (found.width, found.height) == pixels


@pytest.mark.parametrize("modalities", [["IMAGE"], ["TEXT", "IMAGE"], [types.Modality.IMAGE]])
async def test_response_modalities(google: Google, modalities: list[str]) -> None:
    """Text comes where text is wanted, before the picture."""
    answer = await google.draw("a fox", PRO, response_modalities=modalities)
    *texts, last = answer.parts
    assert look(last.inline_data.data) == SQUARE
    assert [bool(part.text) for part in texts] == [True] * ("TEXT" in modalities)


async def test_what_gemini_s_clients_always_send(google: Google) -> None:
    """Sampling and safety settings pass, also where a model knows none of them."""
    safety = types.SafetySetting(category="HARM_CATEGORY_HATE_SPEECH", threshold="BLOCK_NONE")
    config = {"temperature": 0.5, "top_p": 0.9, "top_k": 40, "seed": 7, "safety_settings": [safety]}
    for model in (BANANA, OTHER):
        assert len(drawn(await google.draw("a fox", model, response_modalities=["IMAGE"], **config))) == 1


async def test_candidates(google: Google) -> None:
    answer = await google.draw("a fox", candidate_count=2)
    assert [candidate.index for candidate in answer.candidates] == [0, 1]
    assert [look(data) for data in drawn(answer)] == [SQUARE] * 2


# -- pictures in --


async def test_edit(google: Google) -> None:
    """A part of bytes, a picture of PIL, a model with a prefix, as the SDK takes them."""
    whole = Image.open(io.BytesIO(PNG))
    for contents in (["a hat", shown(PNG)], [whole, "a hat"], types.UserContent(["a hat", shown(JPEG, "image/jpeg")])):
        answer = await google.draw(contents, f"models/{BANANA}")
        assert look(drawn(answer)[0]).type == "image/png"


async def test_two_pictures_between_texts(paying: Google, door: Door, upstream: Upstream) -> None:
    """All texts reach a provider without conversations as one prompt, the pictures in their order."""
    before = door.purse().balance
    contents = ["Take this fox", shown(PNG), "and let it wear this hat", shown(JPEG, "image/jpeg"), "at night"]
    answer = await paying.draw(contents, MODEL)
    assert len(drawn(answer)) == 1
    (seen,) = upstream.seen
    assert seen.path == "/v1/images/edits"
    assert seen.files == [("image[]", PNG), ("image[]", JPEG)]
    assert seen.prompt.split("\n") == ["Take this fox", "and let it wear this hat", "at night"]
    assert door.purse().balance == before - PRICE


async def test_a_picture_of_the_house_by_its_url(google: Google, door: Door) -> None:
    made = await door.ask({"model": OTHER, "prompt": "a fox", "response_format": "url"}, key=TEST)
    part = types.Part.from_uri(file_uri=made.url, mime_type="image/png")
    assert len(drawn(await google.draw(["a hat", part]))) == 1


# -- conversations --


async def test_a_chat(google: Google) -> None:
    chat = google.chats.create(model=PRO, config={"response_modalities": ["IMAGE"]})
    first = await google.call(chat.send_message, "a fox")
    second = await google.call(chat.send_message, ["with this hat", shown(PNG)])
    *_, third = await google.every(chat.send_message_stream, "at night")
    assert [turn.role for turn in chat.get_history()] == ["user", "model"] * 3
    signatures = {answer.parts[-1].thought_signature for answer in (first, second, third)}
    assert len(signatures) == 3 and all(signatures)
    assert len({drawn(answer)[0] for answer in (first, second)}) == 2
    assert third.candidates[0].finish_reason == types.FinishReason.STOP
    alone = await google.draw("with this hat", PRO, response_modalities=["IMAGE"])
    assert alone.usage_metadata.prompt_token_count < second.usage_metadata.prompt_token_count


async def test_a_chat_with_a_model_that_knows_none(paying: Google, upstream: Upstream) -> None:
    """The picture that was drawn before is what the next turn works on."""
    chat = paying.chats.create(model=MODEL)
    fox = await paying.call(chat.send_message, "a fox")
    await paying.call(chat.send_message, "now blue")
    first, second = upstream.seen
    assert (first.path, second.path) == ("/v1/images/generations", "/v1/images/edits")
    assert [data for _, data in second.files] == drawn(fox)
    assert second.prompt.endswith("now blue")


async def test_an_instruction(google: Google, paying: Google, upstream: Upstream) -> None:
    """Gemini takes it as it is; for others it is the beginning of the prompt."""
    alone = await google.draw("a fox")
    told = await google.draw("a fox", system_instruction="Draw in blue")
    assert drawn(alone) and drawn(told)
    assert "x-pictura-adjusted" not in told.sdk_http_response.headers
    other = await paying.draw("a fox", MODEL, system_instruction="Draw in blue")
    assert upstream.seen[0].prompt == "Draw in blue\na fox"
    assert "systemInstruction" in other.sdk_http_response.headers["x-pictura-adjusted"]


# -- streams --


async def test_a_stream(google: Google) -> None:
    chunks = await google.every(google.models.generate_content_stream, model=BANANA, contents="a fox")
    pictures = [data for chunk in chunks if chunk.candidates for data in drawn(chunk)]
    assert [look(data) for data in pictures] == [SQUARE]
    (ended,) = [chunk for chunk in chunks if chunk.usage_metadata]
    assert ended.candidates[0].finish_reason == types.FinishReason.STOP
    assert ended.usage_metadata.candidates_token_count >= 1290


async def test_a_stream_of_two_candidates(google: Google) -> None:
    asked = {"contents": "a fox", "config": types.GenerateContentConfig(candidate_count=2)}
    chunks = await google.every(google.models.generate_content_stream, model=OTHER, **asked)
    candidates = [candidate for chunk in chunks for candidate in chunk.candidates or ()]
    assert [candidate.index or 0 for candidate in candidates] == [0, 1]
    first, second = (candidate.content.parts[-1].inline_data.data for candidate in candidates)
    assert look(first) == look(second) == SQUARE
    assert first != second


async def test_a_stream_of_an_edit(google: Google) -> None:
    chunks = await google.every(google.models.generate_content_stream, model=OTHER, contents=["a hat", shown(PNG)])
    assert [look(data) for chunk in chunks if chunk.candidates for data in drawn(chunk)] == [SQUARE]


# -- models --


async def test_models(google: Google) -> None:
    page = await google.call(google.models.list, config={"page_size": 20})
    assert len(page) == 20
    names = [model.name for model in await google.every(google.models.list, config={"page_size": 20})]
    assert len(names) == len(set(names)) > 20
    assert {f"models/{BANANA}", f"models/{OTHER}", "models/test/test"} <= set(names)
    found = await google.call(google.models.get, model=OTHER)
    assert (found.name, found.display_name) == (f"models/{OTHER}", OTHER)
    assert "generateContent" in found.supported_actions
    assert found.input_token_limit == 32000
    with pytest.raises(errors.ClientError) as unknown:
        await google.call(google.models.get, model="nobody")
    assert (unknown.value.code, unknown.value.status) == (404, "NOT_FOUND")


# -- refusals and errors --


@pytest.mark.parametrize(("model", "reason"), [(BANANA, "PROHIBITED_CONTENT"), (OTHER, "SAFETY")])
async def test_a_refused_prompt(google: Google, model: str, reason: str) -> None:
    """Google's own word where Google refused."""
    asked = {"model": model, "contents": "[refuse] a fox"}
    streamed, *_ = await google.every(google.models.generate_content_stream, **asked)
    for answer in (streamed, await google.call(google.models.generate_content, **asked)):
        assert answer.prompt_feedback.block_reason == reason
        assert answer.prompt_feedback.block_reason_message
        assert not answer.candidates and answer.text is None


async def test_a_refusal_of_a_stream_is_a_stream(door: Door) -> None:
    for prompt, found in (("[refuse] a fox", "promptFeedback"), ("[refuse late] a fox", "finishReason")):
        path = f"/v1beta/models/{BANANA}:streamGenerateContent?alt=sse"
        answer = await door.ask({"contents": [{"parts": [{"text": prompt}]}]}, path=path, key=TEST)
        assert (answer.status, answer.headers["content-type"].partition(";")[0]) == (200, "text/event-stream")
        (chunk,) = [line for line in answer.body.splitlines() if line.startswith(b"data:")]
        assert found.encode() in chunk


async def test_a_refused_picture(google: Google) -> None:
    answer = await google.draw("[refuse late] a fox")
    (candidate,) = answer.candidates
    assert candidate.finish_reason == types.FinishReason.IMAGE_SAFETY
    assert not answer.parts


class Trouble(msgspec.Struct, frozen=True):
    raises: type[errors.APIError]
    code: int
    status: str
    prompt: str = "a fox"
    model: str = BANANA
    aspect_ratio: str = "1:1"
    field: str = ""


TROUBLES = {
    "aspect": Trouble(errors.ClientError, 400, "INVALID_ARGUMENT", aspect_ratio="7:1", field="aspectRatio"),
    "model": Trouble(errors.ClientError, 404, "NOT_FOUND", model="gemini-9-image", field="model"),
    "throttled": Trouble(errors.ClientError, 429, "RESOURCE_EXHAUSTED", prompt="[fault:429]"),
    "rejected": Trouble(errors.ServerError, 502, "UNAVAILABLE", prompt="[fault:401]"),
    "failed": Trouble(errors.ServerError, 520, "UNAVAILABLE", prompt="[fault:500]"),
    "empty": Trouble(errors.ServerError, 520, "UNAVAILABLE", prompt="[fault:empty]"),
    "lost": Trouble(errors.ServerError, 524, "DEADLINE_EXCEEDED", prompt="[fault:reset]"),
}


def details(error: errors.APIError) -> dict[str, Any]:
    """google.rpc's details, by the last part of their type."""
    return {str(detail["@type"]).rpartition(".")[2]: detail for detail in error.details["error"]["details"]}


@pytest.mark.parametrize("trouble", TROUBLES.values(), ids=TROUBLES)
@pytest.mark.parametrize("streams", [False, True], ids=["whole", "stream"])
async def test_errors(google: Google, trouble: Trouble, streams: bool) -> None:
    asked = {"model": trouble.model, "contents": trouble.prompt}
    config = types.GenerateContentConfig(image_config=types.ImageConfig(aspect_ratio=trouble.aspect_ratio))
    with pytest.raises(errors.APIError) as caught:
        if streams:
            await google.every(google.models.generate_content_stream, **asked, config=config)
        else:
            await google.call(google.models.generate_content, **asked, config=config)
    error = caught.value
    assert type(error) is trouble.raises
    assert (error.code, error.status) == (trouble.code, trouble.status)
    assert error.message == error.details["error"]["message"]
    told = details(error)
    assert told["RequestInfo"]["requestId"].startswith("req_")
    assert told["ErrorInfo"]["domain"] == "pictura"
    violations = told.get("BadRequest", {}).get("fieldViolations", [])
    assert [violation["field"] for violation in violations] == [trouble.field] * bool(trouble.field)
    assert ("RetryInfo" in told) == (trouble.code == 429)


async def test_when_to_come_back(door: Door) -> None:
    await door.new_key("sk-pic-google-slow", requests_per_minute=1)
    with client(f"{door.url}/gemini", "sk-pic-google-slow") as sdk:
        google = Google(sdk, aio=False)
        await google.draw("a fox", MODEL)
        with pytest.raises(errors.ClientError) as limited:
            await google.draw("a fox", MODEL)
    assert (limited.value.code, limited.value.status) == (429, "RESOURCE_EXHAUSTED")
    assert details(limited.value)["RetryInfo"]["retryDelay"].endswith("s")


# -- keys and addresses --


async def test_a_wrong_key(base: str) -> None:
    with client(base, "AIza-wrong") as sdk, pytest.raises(errors.ClientError) as wrong:
        await Google(sdk, aio=False).draw("a fox")
    assert (wrong.value.code, wrong.value.status) == (401, "UNAUTHENTICATED")


@pytest.mark.parametrize("version", ["v1", "v1beta"])
async def test_versions(base: str, version: str) -> None:
    with client(base, api_version=version) as sdk:
        google = Google(sdk, aio=False)
        assert len(drawn(await google.draw("a fox"))) == 1
        assert (await google.call(sdk.models.get, model=BANANA)).name == f"models/{BANANA}"


async def test_a_key_in_the_query(door: Door) -> None:
    """As Google's REST examples have it; the bare address knows the dialect by its path."""
    for root in ("/gemini", ""):
        path = f"{root}/v1beta/models/{BANANA}:generateContent?key={TEST}"
        answer = await door.ask({"contents": [{"parts": [{"text": "a fox"}]}]}, path=path, key="")
        assert len(drawn(types.GenerateContentResponse.model_validate_json(answer.body))) == 1


async def test_a_key_as_bearer(base: str) -> None:
    headers = {"Authorization": f"Bearer {TEST}"}
    with client(base, "unused", headers=headers, api_version="v1beta") as sdk:
        assert len(drawn(await Google(sdk, aio=False).draw("a fox"))) == 1


async def test_nothing_but_the_environment(base: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A program that names neither key nor address is moved to the house by two variables."""
    monkeypatch.setenv("GOOGLE_GEMINI_BASE_URL", base)
    monkeypatch.setenv("GEMINI_API_KEY", TEST)
    with genai.Client() as sdk:
        assert len(drawn(await Google(sdk, aio=False).draw("a fox"))) == 1


# -- its automatic retries: when told to, it looks at the status alone --


@pytest_asyncio.fixture(params=["sync", "aio"], loop_scope="module")
async def stubborn(request: pytest.FixtureRequest, door: Door) -> AsyncIterator[Google]:
    """With a live key; asks three times."""
    retries = types.HttpRetryOptions(attempts=3, initial_delay=1, max_delay=1, jitter=0.1)
    with client(f"{door.url}/gemini", LIVE, retry_options=retries) as sdk:
        yield Google(sdk, aio=request.param == "aio")
        await sdk.aio.aclose()


@pytest.mark.parametrize("trouble", [page(502), say(500), reply(200, b"{}")], ids=["lost", "failed", "empty"])
async def test_what_may_have_been_billed_is_not_sent_again(
    stubborn: Google, upstream: Upstream, trouble: Behaviour
) -> None:
    upstream.always = trouble
    with pytest.raises(errors.ServerError):
        await stubborn.draw("a fox", MODEL)
    assert len(upstream.seen) == 1


async def test_what_was_certainly_not_billed_is_retried(stubborn: Google, upstream: Upstream) -> None:
    upstream.queue.append(say(429, headers={"retry-after-ms": "500"}))
    assert len(drawn(await stubborn.draw("a fox", MODEL))) == 1
    assert len(upstream.seen) == 2


async def test_the_books_are_straight(door: Door) -> None:
    await until(lambda: not door.house.gateway.running and not door.left_behind())
    assert door.purse().held == 0
