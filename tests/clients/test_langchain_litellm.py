"""LiteLLM's and LangChain's image clients, each a program in an environment of its own.

What they offer for pictures and Pictura does not is told them in their own error classes: LiteLLM's Imagen (`:predict`)
and its variations, the image tool of LangChain's ChatOpenAI (the Responses API).
"""

from __future__ import annotations

import base64
from collections.abc import AsyncIterator

import msgspec
import pytest
import pytest_asyncio

from pictura.core.media import Media
from tests.clients.second import Program, Raised, running
from tests.doors.door import LIVE, MODEL, PRICE, SHARED, TEST, Door, Shown, data_url, look, until
from tests.upstream import Upstream, page, picture, say

pytestmark = pytest.mark.asyncio(loop_scope="module")

BANANA, PRO = "gemini-2.5-flash-image", "gemini-3-pro-image"
PNG, MASK = picture(), picture(mode="RGBA")
SQUARE = Media("image/png", 1024, 1024)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def litellm() -> AsyncIterator[Program]:
    async with running("litellm_images") as program:
        yield program


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def langchain() -> AsyncIterator[Program]:
    async with running("langchain_images") as program:
        yield program


def plain(data: bytes) -> str:
    return base64.b64encode(data).decode()


async def fetched(door: Door, url: str) -> Media:
    return look((await door.send("GET", url)).body)


# -- LiteLLM --


class Usage(msgspec.Struct):
    input_tokens: int
    output_tokens: int
    total_tokens: int


class Answer(msgspec.Struct):
    created: int
    data: list[Shown]
    usage: Usage
    headers: dict[str, str]
    size: str | None = None
    quality: str | None = None
    output_format: str | None = None

    @property
    def pictures(self) -> list[Media]:
        return [look(base64.b64decode(shown.b64_json, validate=True)) for shown in self.data]


def openai(door: Door, key: str = TEST, root: str = "/openai/v1") -> dict[str, str]:
    return {"api_base": door.url + root, "api_key": key}


def gemini(door: Door, key: str = TEST, root: str = "/gemini/v1beta") -> dict[str, str]:
    return {"api_base": door.url + root, "api_key": key}


@pytest.mark.parametrize("function", ["generate", "generate_async"])
@pytest.mark.parametrize("root", ["/openai/v1", "/v1"])
async def test_generate(litellm: Program, door: Door, function: str, root: str) -> None:
    wanted = {"size": "1536x1024", "quality": "low", "output_format": "webp", "n": 2}
    answer = await litellm.call(
        Answer, function, model=f"openai/{SHARED}", prompt="a fox", **wanted, **openai(door, root=root)
    )
    assert answer.pictures == [Media("image/webp", 1536, 1024)] * 2
    assert (answer.size, answer.quality, answer.output_format) == ("1536x1024", "low", "webp")
    assert answer.usage.total_tokens == answer.usage.input_tokens + answer.usage.output_tokens > 0
    assert answer.headers["x-pictura-sandbox"] == "true"


async def test_urls(litellm: Program, door: Door) -> None:
    """As DALL·E has it, and from a dialect whose way it is for every model."""
    dall_e = await litellm.call(Answer, "generate", model="openai/dall-e-3", prompt="a fox", **openai(door))
    routed = await litellm.call(
        Answer, "generate", model=f"openai/{SHARED}", prompt="a fox", **openai(door, root="/omnirouters/v1")
    )
    assert [await fetched(door, answer.data[0].url) for answer in (dall_e, routed)] == [SQUARE] * 2
    words = {"response_format": "b64_json", "quality": "hd", "style": "vivid"}
    answer = await litellm.call(Answer, "generate", model="openai/dall-e-3", prompt="a fox", **words, **openai(door))
    assert answer.pictures == [SQUARE]


@pytest.mark.parametrize("model", ["seedream-4.5", "qwen-image-2.0", BANANA, "test/test"])
async def test_models_of_every_vendor(litellm: Program, door: Door, model: str) -> None:
    answer = await litellm.call(
        Answer, "generate", model=f"openai/{model}", prompt="a fox", extra_body={"aspect_ratio": "1:1"}, **openai(door)
    )
    (found,) = answer.pictures
    assert found.width == found.height >= 1024


@pytest.mark.parametrize("function", ["generate", "generate_async"])
@pytest.mark.parametrize("root", ["/gemini/v1beta", "/v1beta"])
async def test_generate_by_gemini(litellm: Program, door: Door, function: str, root: str) -> None:
    answer = await litellm.call(
        Answer, function, model=f"gemini/{BANANA}", prompt="a fox", size="1792x1024", n=2, **gemini(door, root=root)
    )
    assert answer.pictures == [Media("image/png", 1344, 768)] * 2
    assert answer.usage.output_tokens >= 2 * 1290


async def test_gemini_s_own_words(litellm: Program, door: Door) -> None:
    config = {"aspectRatio": "16:9", "imageSize": "2K"}
    answer = await litellm.call(
        Answer, "generate", model=f"gemini/{PRO}", prompt="a fox", imageConfig=config, **gemini(door)
    )
    assert answer.pictures == [Media("image/png", 2752, 1536)]


@pytest.mark.parametrize("function", ["edit", "edit_async"])
async def test_edit(litellm: Program, door: Door, function: str) -> None:
    images = [plain(PNG), plain(picture(80, 80, "jpeg"))]
    answer = await litellm.call(
        Answer,
        function,
        model=f"openai/{MODEL}",
        prompt="a hat",
        images=images,
        mask=plain(MASK),
        size="1024x1536",
        **openai(door),
    )
    assert answer.pictures == [Media("image/png", 1024, 1536)]
    by_gemini = await litellm.call(
        Answer, function, model=f"gemini/{BANANA}", prompt="a hat", images=images, **gemini(door)
    )
    assert by_gemini.pictures == [SQUARE]


async def test_edit_by_url(litellm: Program, door: Door) -> None:
    wanted = {"response_format": "url", "n": 2}
    answer = await litellm.call(
        Answer, "edit", model=f"openai/{SHARED}", prompt="a hat", images=[plain(PNG)], **wanted, **openai(door)
    )
    assert [await fetched(door, shown.url) for shown in answer.data] == [SQUARE] * 2


async def test_what_an_edit_sends_and_costs(litellm: Program, door: Door, upstream: Upstream) -> None:
    before = door.purse().balance
    await litellm.call(
        Answer, "edit", model=f"openai/{MODEL}", prompt="a hat", images=[plain(PNG)] * 2, **openai(door, LIVE)
    )
    (seen,) = upstream.seen
    assert seen.files == [("image[]", PNG)] * 2
    assert seen.prompt == "a hat"
    assert door.purse().balance == before - PRICE


async def test_its_router(litellm: Program, door: Door) -> None:
    params = {"model": f"openai/{SHARED}", **openai(door)}
    answer = await litellm.call(Answer, "route", params=params, prompt="a fox")
    assert answer.pictures == [SQUARE]


#: What is asked, and as what LiteLLM raises it: its classes are also OpenAI's.
OPENAI_TROUBLES: dict[str, tuple[dict[str, str], str, int]] = {
    "size": ({"size": "1000x1000"}, "BadRequestError", 400),
    "refused": ({"prompt": "[refuse]"}, "BadRequestError", 400),
    "key": ({"api_key": "sk-other"}, "AuthenticationError", 401),
    "model": ({"model": "openai/gpt-image-9"}, "NotFoundError", 404),
    "failed": ({"prompt": "[fault:500]"}, "BadGatewayError", 502),
    "lost": ({"prompt": "[fault:reset]"}, "Timeout", 504),
}
GEMINI_TROUBLES: dict[str, tuple[dict[str, object], str, int]] = {
    "size": ({"imageConfig": {"aspectRatio": "7:1"}}, "BadRequestError", 400),
    "key": ({"api_key": "sk-other"}, "AuthenticationError", 401),
    "model": ({"model": "gemini/gemini-9-image"}, "NotFoundError", 404),
    "throttled": ({"prompt": "[fault:429]"}, "RateLimitError", 429),
}


@pytest.mark.parametrize("trouble", OPENAI_TROUBLES.values(), ids=OPENAI_TROUBLES)
@pytest.mark.parametrize("function", ["generate", "generate_async", "edit"])
async def test_errors(litellm: Program, door: Door, function: str, trouble: tuple[dict[str, str], str, int]) -> None:
    asked, kind, status = trouble
    usual = {"model": f"openai/{SHARED}", "prompt": "a fox", **openai(door)}
    images = {"images": [plain(PNG)]} if function == "edit" else {}
    with pytest.raises(Raised) as caught:
        await litellm.call(Answer, function, **{**usual, **asked, **images})
    assert (caught.value.kinds[0], caught.value.status) == (kind, status)


@pytest.mark.parametrize("trouble", GEMINI_TROUBLES.values(), ids=GEMINI_TROUBLES)
async def test_errors_by_gemini(litellm: Program, door: Door, trouble: tuple[dict[str, object], str, int]) -> None:
    asked, kind, status = trouble
    usual = {"model": f"gemini/{BANANA}", "prompt": "a fox", **gemini(door)}
    with pytest.raises(Raised) as caught:
        await litellm.call(Answer, "generate", **{**usual, **asked})
    assert (caught.value.kinds[0], caught.value.status) == (kind, status)


async def test_a_refusal_by_gemini_is_an_answer_without_a_picture(litellm: Program, door: Door) -> None:
    answer = await litellm.call(Answer, "generate", model=f"gemini/{BANANA}", prompt="[refuse]", **gemini(door))
    assert answer.data == []


async def test_what_may_have_been_billed_is_not_sent_again(litellm: Program, door: Door, upstream: Upstream) -> None:
    upstream.always = page(502)
    with pytest.raises(Raised):
        await litellm.call(Answer, "generate", model=f"openai/{MODEL}", prompt="a fox", **openai(door, LIVE))
    assert len(upstream.seen) == 1


async def test_what_was_certainly_not_billed_is_retried(litellm: Program, door: Door, upstream: Upstream) -> None:
    upstream.queue.append(say(429, headers={"retry-after-ms": "500"}))
    answer = await litellm.call(Answer, "generate", model=f"openai/{MODEL}", prompt="a fox", **openai(door, LIVE))
    assert len(answer.data) == 1
    assert len(upstream.seen) == 2


async def test_what_is_not_offered_is_not_found(litellm: Program, door: Door) -> None:
    with pytest.raises(Raised, match="predict is not answered") as imagen:
        await litellm.call(Answer, "generate", model="gemini/imagen-4.0-generate-001", prompt="a fox", **gemini(door))
    with pytest.raises(Raised, match="use POST /v1/images/edits") as variation:
        await litellm.call(Answer, "vary", model="openai/dall-e-2", images=[plain(PNG)], **openai(door))
    assert imagen.value.status == variation.value.status == 404


# -- LangChain --


class ImageUrl(msgspec.Struct, frozen=True):
    url: str = ""


class Block(msgspec.Struct):
    type: str
    text: str = ""
    image_url: ImageUrl = ImageUrl()


class Message(msgspec.Struct):
    content: list[Block | str]
    usage: dict[str, object] | None
    metadata: dict[str, object]

    @property
    def texts(self) -> list[str]:
        return [block.text for block in self.content if isinstance(block, Block) and block.text]

    @property
    def urls(self) -> list[str]:
        return [block.image_url.url for block in self.content if isinstance(block, Block) and block.image_url.url]

    @property
    def pictures(self) -> list[Media]:
        return [look(base64.b64decode(url.partition(",")[2])) for url in self.urls]


def google(door: Door, key: str = TEST, model: str = BANANA) -> dict[str, str]:
    return {"base_url": f"{door.url}/gemini", "api_key": key, "model": model}


@pytest.mark.parametrize("root", ["/openai/v1", "/v1"])
@pytest.mark.parametrize("function", ["draw", "use_tool"])
async def test_dall_e(langchain: Program, door: Door, function: str, root: str) -> None:
    settings = {"base_url": door.url + root, "api_key": TEST, "model": "dall-e-3", "quality": "hd"}
    url = await langchain.call(str, function, prompt="a fox", **settings)
    assert await fetched(door, url) == SQUARE


async def test_dall_e_with_two_pictures(langchain: Program, door: Door) -> None:
    settings = {"base_url": f"{door.url}/openai/v1", "api_key": TEST, "n": 2, "size": "512x512"}
    urls = await langchain.call(str, "draw", prompt="a fox", **settings)
    assert [await fetched(door, url) for url in urls.split("\n")] == [Media("image/png", 512, 512)] * 2


@pytest.mark.parametrize("root", ["/omnirouters/v1", "/quickrouter/v1", "/imagerouter/v1/openai"])
async def test_every_model_for_a_wrapper_that_wants_urls(langchain: Program, door: Door, root: str) -> None:
    settings = {"base_url": door.url + root, "api_key": TEST, "model": SHARED}
    url = await langchain.call(str, "draw", prompt="a fox", **settings)
    assert (await fetched(door, url)).width == 1024


async def test_errors_of_the_wrapper(langchain: Program, door: Door) -> None:
    settings = {"base_url": f"{door.url}/openai/v1", "api_key": TEST, "model": "dall-e-3"}
    with pytest.raises(Raised, match="'param': 'size'") as size:
        await langchain.call(str, "use_tool", prompt="a fox", size="1x1", **settings)
    with pytest.raises(Raised) as key:
        await langchain.call(str, "draw", prompt="a fox", **{**settings, "api_key": "sk-other"})
    assert (size.value.kinds[0], key.value.kinds[0]) == ("BadRequestError", "AuthenticationError")


@pytest.mark.parametrize("function", ["chat", "chat_async"])
@pytest.mark.parametrize("address", ["prefix", "bare", "options"])
async def test_chat(langchain: Program, door: Door, function: str, address: str) -> None:
    addresses: dict[str, dict[str, object]] = {
        "prefix": {"base_url": f"{door.url}/gemini"},
        "bare": {"base_url": door.url},
        "options": {"client_options": {"api_endpoint": f"{door.url}/gemini"}},
    }
    settings = {"api_key": TEST, "model": SHARED, **addresses[address]}
    answer = await langchain.call(Message, function, messages="a fox", **settings)
    assert answer.pictures == [SQUARE]
    assert answer.metadata["model_name"] == SHARED
    assert answer.usage is not None


async def test_chat_with_wishes(langchain: Program, door: Door) -> None:
    wishes = {
        "response_modalities": ["TEXT", "IMAGE"],
        "image_config": {"aspect_ratio": "16:9", "image_size": "2K"},
        "temperature": 0.5,
    }
    answer = await langchain.call(Message, "chat", messages="a fox", **wishes, **google(door, model=PRO))
    assert answer.pictures == [Media("image/png", 2752, 1536)]
    assert answer.texts


async def test_a_conversation_about_pictures(langchain: Program, door: Door, upstream: Upstream) -> None:
    """Two pictures go in, one comes out, and the next turn works on it."""
    said: list[dict[str, object]] = [
        {
            "role": "user",
            "content": [
                {"type": "text", "text": "let this fox"},
                {"type": "image_url", "image_url": {"url": data_url(PNG)}},
                {"type": "text", "text": "wear this hat"},
                {"type": "image", "base64": plain(MASK), "mime_type": "image/png"},
            ],
        }
    ]
    first = await langchain.call(Message, "chat", messages=said, **google(door, LIVE, SHARED))
    drawn = [{"type": "image_url", "image_url": {"url": url}} for url in first.urls]
    said += [{"role": "assistant", "content": drawn}, {"role": "user", "content": "at night"}]
    await langchain.call(Message, "chat", messages=said, **google(door, LIVE, SHARED))
    before, after = upstream.seen
    assert [data for _, data in before.files] == [PNG, MASK]
    assert [data for _, data in after.files] == [PNG, MASK, base64.b64decode(first.urls[0].partition(",")[2])]
    assert after.prompt.endswith("at night")


async def test_stream(langchain: Program, door: Door) -> None:
    chunks = await langchain.call(list[Message], "stream", messages="a fox", **google(door))
    assert [found for chunk in chunks for found in chunk.pictures] == [SQUARE]


async def test_a_refused_prompt(langchain: Program, door: Door) -> None:
    answer = await langchain.call(Message, "chat", messages="[refuse] a fox", **google(door))
    assert not answer.pictures
    assert "PROHIBITED_CONTENT" in str(answer.metadata["prompt_feedback"])


CHAT_TROUBLES: dict[str, tuple[dict[str, object], str]] = {
    "size": ({"image_config": {"aspect_ratio": "7:1"}}, "GoogleInvalidRequestError"),
    "key": ({"api_key": "sk-other"}, "GoogleAuthenticationError"),
    "model": ({"model": "gemini-9-image"}, "GoogleModelNotFoundError"),
    "lost": ({"messages": "[fault:reset] a fox"}, "ServerError"),
}


@pytest.mark.parametrize("trouble", CHAT_TROUBLES.values(), ids=CHAT_TROUBLES)
async def test_errors_of_a_chat(langchain: Program, door: Door, trouble: tuple[dict[str, object], str]) -> None:
    asked, kind = trouble
    with pytest.raises(Raised) as caught:
        await langchain.call(Message, "chat", **{"messages": "a fox", **google(door), **asked})
    assert kind in caught.value.kinds


@pytest.mark.parametrize("function", ["chat", "chat_async"])
async def test_a_chat_does_not_pay_twice(langchain: Program, door: Door, upstream: Upstream, function: str) -> None:
    """Unless told otherwise, a chat model asks six times for what came with a status that Google's SDK repeats."""
    upstream.always = page(502)
    with pytest.raises(Raised, match="DEADLINE_EXCEEDED"):
        await langchain.call(Message, function, messages="a fox", **google(door, LIVE, MODEL))
    assert len(upstream.seen) == 1


async def test_the_responses_api_is_not_offered(langchain: Program, door: Door) -> None:
    settings = {"base_url": f"{door.url}/openai/v1", "api_key": TEST, "model": SHARED}
    with pytest.raises(Raised, match="there is no POST /openai/v1/responses") as missing:
        await langchain.call(Message, "respond", messages="a fox", **settings)
    assert "NotFoundError" in missing.value.kinds


async def test_the_books_are_straight(door: Door) -> None:
    await until(lambda: not door.house.gateway.running and not door.left_behind())
    assert door.purse().held == 0
