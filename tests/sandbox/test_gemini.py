from __future__ import annotations

import asyncio
import base64
import io
from collections.abc import Callable, Iterator

import msgspec
import pytest
from aiohttp import ClientSession
from google import genai
from google.genai import errors, types

from pictura.core.media import Media
from pictura.sandbox.gemini import INPUT_TOKENS, MODELS, THOUGHT_TOKENS, UNTOLD_TOKENS
from tests.sandbox.conftest import KEY, look

OLD, PRO, FLASH = "gemini-2.5-flash-image", "gemini-3-pro-image", "gemini-3.1-flash-image"
LITE, NEW, IMAGEN = "gemini-3.1-flash-lite-image", "gemini-nano-banana-2.1", "imagen-4.0-generate-001"
PNG = "image/png"

MakePicture = Callable[..., bytes]


class Wrong(msgspec.Struct):
    code: int
    message: str
    status: str
    details: list[dict[str, object]] = []


class Failure(msgspec.Struct):
    error: Wrong


@pytest.fixture
def sdk(address: str) -> Iterator[genai.Client]:
    """The official client, pointed at the sandbox and nowhere else."""
    options = {"base_url": f"{address}/gemini", "client_args": {"trust_env": False}}
    with genai.Client(api_key=KEY, http_options=options) as client:
        yield client


@pytest.fixture
async def http(http: ClientSession) -> ClientSession:
    """A client that holds the key as Google wants it."""
    del http.headers["Authorization"]
    http.headers["x-goog-api-key"] = KEY
    return http


def said(answer: types.GenerateContentResponse) -> list[types.Part]:
    parts: list[types.Part] = answer.candidates[0].content.parts
    return parts


def drawn(answer: types.GenerateContentResponse) -> list[bytes]:
    return [part.inline_data.data for part in said(answer) if part.inline_data and not part.thought]


def shown(data: bytes, media_type: str = PNG) -> types.Part:
    return types.Part.from_bytes(data=data, mime_type=media_type)


def inline(data: bytes, media_type: str = PNG) -> dict[str, object]:
    return {"inlineData": {"mimeType": media_type, "data": base64.b64encode(data).decode()}}


async def refusal(http: ClientSession, url: str, json: object = None, status: int = 400) -> Wrong:
    async with http.post(url, data=io.BytesIO(msgspec.json.encode(json))) as answer:
        assert answer.status == status, await answer.text()
        error = msgspec.json.decode(await answer.read(), type=Failure).error
        assert error.code == status
        return error


# -- the official SDK --


@pytest.mark.parametrize(
    ("model", "image", "pixels"),
    [
        (OLD, {}, (1024, 1024)),
        (OLD, {"aspect_ratio": "16:9"}, (1344, 768)),
        (PRO, {"aspect_ratio": "16:9", "image_size": "2K"}, (2752, 1536)),
        (FLASH, {"aspect_ratio": "1:8", "image_size": "512"}, (192, 1536)),
        (LITE, {"aspect_ratio": "8:1", "image_size": "1K"}, (2928, 352)),
        (NEW, {"image_size": "4K"}, (4096, 4096)),
    ],
)
async def test_generate(sdk: genai.Client, model: str, image: dict[str, str], pixels: tuple[int, int]) -> None:
    config = types.GenerateContentConfig(
        response_modalities=["IMAGE"], image_config=types.ImageConfig(**image), seed=7, temperature=0.5, top_k=40
    )
    answer = await asyncio.to_thread(sdk.models.generate_content, model=model, contents="a fox", config=config)
    (part,) = said(answer)
    assert look(part.inline_data.data) == Media(PNG, *pixels)
    assert bool(part.thought_signature) == MODELS[model].thinks
    assert (answer.candidates[0].finish_reason, answer.model_version) == ("STOP", model)
    used, tokens = answer.usage_metadata, MODELS[model].tokens[image.get("image_size", "1K")]
    assert [(detail.modality, detail.token_count) for detail in used.candidates_tokens_details] == [("IMAGE", tokens)]
    assert used.candidates_token_count == tokens + UNTOLD_TOKENS
    told = (used.prompt_token_count, used.candidates_token_count, used.thoughts_token_count)
    assert sum(count or 0 for count in told) == used.total_token_count
    again = await asyncio.to_thread(sdk.models.generate_content, model=model, contents="a fox", config=config)
    assert drawn(again) == drawn(answer)


async def test_edit_with_a_picture(sdk: genai.Client, picture: MakePicture) -> None:
    contents = ["make it night", shown(picture(400, 300, "jpeg", "RGB"), "image/jpeg"), shown(picture(64, 64))]
    answer = await asyncio.to_thread(sdk.models.generate_content, model=OLD, contents=contents)
    text, part = said(answer)
    assert "make it night" in text.text
    assert look(part.inline_data.data) == Media(PNG, 1184, 864)  # the aspect of the first input
    details = {detail.modality: detail.token_count for detail in answer.usage_metadata.prompt_tokens_details}
    assert details["IMAGE"] == 2 * INPUT_TOKENS


async def test_two_turns(sdk: genai.Client) -> None:
    config = types.GenerateContentConfig(image_config=types.ImageConfig(aspect_ratio="9:16"))
    chat = sdk.chats.create(model=PRO, config=config)
    first = await asyncio.to_thread(chat.send_message, "a fox")
    second = await asyncio.to_thread(chat.send_message, "make it blue")
    assert look(drawn(second)[0]) == Media(PNG, 768, 1376)
    assert drawn(first) != drawn(second)
    assert second.usage_metadata.prompt_token_count >= INPUT_TOKENS
    fresh = await asyncio.to_thread(sdk.models.generate_content, model=PRO, contents="make it blue", config=config)
    assert drawn(fresh) != drawn(second)  # what was drawn before shows in it


async def test_stream(sdk: genai.Client) -> None:
    def collect() -> list[types.GenerateContentResponse]:
        return list(sdk.models.generate_content_stream(model=FLASH, contents="a fox"))

    text, last = await asyncio.to_thread(collect)
    assert (said(text)[0].text, text.candidates[0].finish_reason) == ("Here is a picture of a fox.", None)
    assert look(drawn(last)[0]) == Media(PNG, 1024, 1024)
    assert last.candidates[0].finish_reason == "STOP"
    assert last.usage_metadata.total_token_count


async def test_thoughts_are_shown_on_request(sdk: genai.Client) -> None:
    config = types.GenerateContentConfig(
        response_modalities=["TEXT", "IMAGE"],
        thinking_config=types.ThinkingConfig(include_thoughts=True, thinking_level="HIGH"),
        tools=[types.Tool(google_search=types.GoogleSearch())],
    )
    answer = await asyncio.to_thread(sdk.models.generate_content, model=FLASH, contents="a fox", config=config)
    assert [bool(part.thought) for part in said(answer)] == [True, True, False, False]
    draft, final = said(answer)[1], said(answer)[3]
    assert (look(draft.inline_data.data).width, look(final.inline_data.data).width) == (512, 1024)


# The SDK speaks predict to Google Cloud only, and warns that it will not for long.
@pytest.mark.filterwarnings("ignore:The generate_images method is deprecated")
async def test_generate_images(address: str) -> None:
    options = {"base_url": f"{address}/gemini", "api_version": "v1beta", "client_args": {"trust_env": False}}
    with genai.Client(vertexai=True, api_key=KEY, http_options=options) as sdk:
        config = types.GenerateImagesConfig(
            number_of_images=2,
            aspect_ratio="3:4",
            image_size="2K",
            person_generation="ALLOW_ADULT",
            safety_filter_level="BLOCK_LOW_AND_ABOVE",
            include_rai_reason=True,
            output_mime_type="image/jpeg",
            output_compression_quality=60,
        )
        draw = sdk.models.generate_images
        answer = await asyncio.to_thread(draw, model=f"models/{IMAGEN}", prompt="a fox", config=config)
        first, second = (image.image for image in answer.generated_images)
        assert look(first.image_bytes) == look(second.image_bytes) == Media("image/jpeg", 1792, 2560)
        assert first.image_bytes != second.image_bytes
        refused = await asyncio.to_thread(draw, model=f"models/{IMAGEN}", prompt="[refuse]", config=config)
        assert "filtered" in refused.generated_images[0].rai_filtered_reason
        silent = await asyncio.to_thread(draw, model=f"models/{IMAGEN}", prompt="[refuse]")
        assert not silent.generated_images


async def test_models_are_listed(sdk: genai.Client) -> None:
    listed = await asyncio.to_thread(lambda: list(sdk.models.list()))
    actions = {model.name: model.supported_actions for model in listed}
    assert "generateContent" in actions[f"models/{NEW}"]
    assert actions[f"models/{IMAGEN}"] == ["predict"]
    assert (await asyncio.to_thread(sdk.models.get, model=PRO)).display_name == "Gemini 3 Pro Image"
    with pytest.raises(errors.ClientError) as unknown:
        await asyncio.to_thread(sdk.models.get, model="gemini-9")
    assert unknown.value.code == 404


@pytest.mark.parametrize(
    ("prompt", "blocked", "finish"),
    [
        ("[refuse]", "PROHIBITED_CONTENT", None),
        ("[refuse late]", None, "IMAGE_SAFETY"),
        ("[fault:failed]", None, "IMAGE_OTHER"),
        ("[fault:empty]", None, "NO_IMAGE"),
    ],
)
async def test_a_refusal_is_an_answer(sdk: genai.Client, prompt: str, blocked: str | None, finish: str | None) -> None:
    answer = await asyncio.to_thread(sdk.models.generate_content, model=PRO, contents=f"a fox {prompt}")
    assert (answer.prompt_feedback and answer.prompt_feedback.block_reason) == blocked
    assert (answer.candidates and answer.candidates[0].finish_reason) == finish
    assert not answer.parts
    assert answer.usage_metadata.thoughts_token_count == (THOUGHT_TOKENS if finish else None)


@pytest.mark.parametrize(
    ("prompt", "code", "status", "kind"),
    [
        ("[fault:401]", 401, "UNAUTHENTICATED", errors.ClientError),
        ("[fault:402]", 403, "PERMISSION_DENIED", errors.ClientError),
        ("[fault:429]", 429, "RESOURCE_EXHAUSTED", errors.ClientError),
        ("[fault:500]", 500, "INTERNAL", errors.ServerError),
        ("[fault:502page]", 502, "Bad Gateway", errors.ServerError),
    ],
)
async def test_errors_are_the_sdk_s_own(
    sdk: genai.Client, prompt: str, code: int, status: str, kind: type[errors.APIError]
) -> None:
    with pytest.raises(kind) as caught:
        await asyncio.to_thread(sdk.models.generate_content, model=FLASH, contents=prompt)
    assert (caught.value.code, caught.value.status) == (code, status)
    if code == 429:
        details = caught.value.details["error"]["details"]
        assert [detail["retryDelay"] for detail in details if "retryDelay" in detail] == ["2s"]


async def test_a_wrong_key(address: str) -> None:
    options = {"base_url": f"{address}/gemini", "client_args": {"trust_env": False}}
    with genai.Client(api_key="sk-wrong", http_options=options) as sdk, pytest.raises(errors.ClientError) as caught:
        await asyncio.to_thread(sdk.models.generate_content, model=FLASH, contents="a fox")
    assert (caught.value.code, caught.value.status) == (400, "INVALID_ARGUMENT")
    assert caught.value.details["error"]["details"][0]["reason"] == "API_KEY_INVALID"


# -- what the SDK does not say --

FOX: dict[str, object] = {"contents": [{"parts": [{"text": "a fox"}]}]}


def config(**fields: object) -> dict[str, object]:
    return {**FOX, "generationConfig": fields}


async def test_keys(address: str, http: ClientSession) -> None:
    url = f"{address}/gemini/v1beta/models/{OLD}:generateContent"
    del http.headers["x-goog-api-key"]
    assert (await refusal(http, url, FOX, 403)).status == "PERMISSION_DENIED"
    async with http.post(f"{url}?key={KEY}", json=FOX) as answer:
        assert answer.status == 200, await answer.text()


async def test_both_spellings_of_a_field(address: str, http: ClientSession, picture: MakePicture) -> None:
    blob = inline(picture(64, 64))["inlineData"]
    assert isinstance(blob, dict)
    snake = {"inline_data": {"mime_type": blob["mimeType"], "data": blob["data"]}}
    generation = {"response_modalities": ["Image"], "image_config": {"aspect_ratio": "3:2", "image_size": "1K"}}
    body = {"contents": [{"parts": [{"text": "a hat"}, snake]}], "generation_config": generation}
    async with http.post(f"{address}/gemini/v1/models/{PRO}:generateContent", json=body) as answer:
        assert answer.status == 200, await answer.text()
        (part,) = said(types.GenerateContentResponse.model_validate_json(await answer.read()))
    assert look(part.inline_data.data) == Media(PNG, 1264, 848)


async def test_a_stream_without_events_is_a_list(address: str, http: ClientSession) -> None:
    async with http.post(f"{address}/gemini/v1beta/models/{OLD}:streamGenerateContent", json=FOX) as answer:
        assert len(await answer.json()) == 2


async def test_texts_alone(address: str, http: ClientSession) -> None:
    body = config(responseModalities=["TEXT"])
    async with http.post(f"{address}/gemini/v1beta/models/{OLD}:generateContent", json=body) as answer:
        (candidate,) = (await answer.json())["candidates"]
    assert [list(part) for part in candidate["content"]["parts"]] == [["text"]]


async def test_a_file_is_not_fetched_but_imagined(address: str, http: ClientSession) -> None:
    file = {"fileData": {"mimeType": PNG, "fileUri": "https://127.0.0.1:1/files/1"}}
    body = {"contents": [{"role": "user", "parts": [{"text": "a hat"}, file]}]}
    async with http.post(f"{address}/gemini/v1beta/models/{FLASH}:generateContent", json=body) as answer:
        assert answer.status == 200, await answer.text()


@pytest.mark.parametrize(
    ("model", "body", "field", "message"),
    [
        (FLASH, {}, "", "contents is not specified"),
        (FLASH, {"contents": []}, "", "contents is not specified"),
        (FLASH, {"contents": {"parts": []}}, "contents", ""),
        (FLASH, {"contents": [{"parts": []}]}, "", "must not be empty"),
        (FLASH, {"contents": [{"parts": [{}]}]}, "", "contents[0].parts[0].data: required oneof"),
        (FLASH, {"contents": [{"parts": [{"text": 3}]}]}, "contents[0].parts[0].text", ""),
        (FLASH, {"contents": [{"parts": [{"text": "a", "image": "b"}]}]}, "contents[0].parts[0]", '"image"'),
        (FLASH, {"contents": [{"role": "assistant", "parts": [{"text": "a"}]}]}, "", "valid role: user, model"),
        (FLASH, {**FOX, "size": "1024x1024"}, "", 'Unknown name "size": Cannot find field.'),
        (FLASH, config(aspectRatio="16:9"), "generation_config", '"aspect_ratio"'),
        (FLASH, config(imageConfig={"aspectRatio": "9:21"}), "generation_config.image_config.aspect_ratio", ""),
        (FLASH, config(imageConfig={"imageSize": "2k"}), "generation_config.image_config.image_size", ""),
        (FLASH, config(imageConfig={"outputMimeType": PNG}), "generation_config.image_config", "output_mime_type"),
        (OLD, config(imageConfig={"imageSize": "2K"}), "generation_config.image_config.image_size", ""),
        (OLD, config(imageConfig={"aspectRatio": "1:8"}), "generation_config.image_config.aspect_ratio", ""),
        (PRO, config(imageConfig={"aspectRatio": "8:1"}), "generation_config.image_config.aspect_ratio", ""),
        (PRO, config(imageConfig={"imageSize": "512"}), "generation_config.image_config.image_size", ""),
        (LITE, config(imageConfig={"imageSize": "2K"}), "generation_config.image_config.image_size", ""),
        (NEW, config(imageConfig={"imageSize": "512"}), "generation_config.image_config.image_size", ""),
        (FLASH, config(temperature=2.5), "generation_config.temperature", ""),
        (FLASH, config(topP=-1), "generation_config.top_p", ""),
        (FLASH, config(seed=2**31), "generation_config.seed", ""),
        (FLASH, config(seed="7"), "generation_config.seed", ""),
        (FLASH, config(candidateCount=2), "", "Multiple candidates"),
        (FLASH, config(responseModalities=["AUDIO", "IMAGE"]), "", "response modalities: audio,image"),
        (FLASH, config(responseModalities=["PICTURE"]), "generation_config.response_modalities[0]", ""),
        (FLASH, config(responseMimeType="application/json"), "generation_config.response_mime_type", ""),
        (FLASH, config(thinkingConfig={"thinkingLevel": "medium"}), "", "MEDIUM is not supported"),
        (OLD, config(thinkingConfig={"includeThoughts": True}), "", "Thinking is not enabled"),
        (OLD, {**FOX, "tools": [{"googleSearch": {}}]}, "", "Search Grounding"),
        (LITE, {**FOX, "tools": [{"google_search": {}}]}, "", "Search Grounding"),
        (FLASH, {**FOX, "safetySettings": [{"category": "HARM_CATEGORY_FUN"}]}, "safety_settings[0].category", ""),
    ],
    ids=lambda value: str(value)[:70],
)
async def test_it_refuses(
    address: str, http: ClientSession, model: str, body: object, field: str, message: str
) -> None:
    error = await refusal(http, f"{address}/gemini/v1beta/models/{model}:generateContent", body)
    assert error.status == "INVALID_ARGUMENT"
    assert message in error.message
    violations = [violation for detail in error.details for violation in detail["fieldViolations"]]  # type: ignore[attr-defined]
    assert [violation["field"] for violation in violations if "field" in violation] == ([field] if field else [])


async def test_it_takes(address: str, http: ClientSession) -> None:
    body = {
        **config(seed=-5, maxOutputTokens=100, stopSequences=["x"], mediaResolution="MEDIA_RESOLUTION_LOW"),
        "systemInstruction": {"parts": [{"text": "be kind"}]},
        "safetySettings": [{"category": "HARM_CATEGORY_HARASSMENT", "threshold": "block_none"}],
        "tools": [{"googleSearch": {}}],
    }
    async with http.post(f"{address}/gemini/v1beta/models/{FLASH}:generateContent", json=body) as answer:
        assert answer.status == 200, await answer.text()


async def test_pictures_it_refuses(address: str, http: ClientSession, picture: MakePicture) -> None:
    small = picture(64, 48)
    cases: list[tuple[str, list[dict[str, object]], str]] = [
        (OLD, [inline(small)] * 4, "at most 3"),
        (PRO, [inline(small)] * 15, "at most 14"),
        (PRO, [inline(small, "image/gif")], "Unsupported MIME type: image/gif"),
        (PRO, [{"inlineData": {"data": "aGVsbG8="}}], "Unsupported MIME type: "),
        (PRO, [inline(picture(64, 48, "gif", "RGB"))], "Unable to process input image"),
        (PRO, [inline(small[:-20])], "Unable to process input image"),
        (PRO, [inline(small + bytes(7_000_000))], "Unable to process input image"),
        (PRO, [inline(b"hello")], "Unable to process input image"),
        (PRO, [{"inlineData": {"mimeType": PNG, "data": "a*b"}}], "Unable to process input image"),
        (PRO, [{"inlineData": {"mimeType": PNG}}], "Unable to process input image"),
        (PRO, [{**inline(small), "text": "both"}], "required oneof"),
    ]
    for model, parts, message in cases:
        body = {"contents": [{"parts": [{"text": "a hat"}, *parts]}]}
        error = await refusal(http, f"{address}/gemini/v1beta/models/{model}:generateContent", body)
        assert message in error.message


async def test_what_the_model_drew_must_be_signed(address: str, http: ClientSession, picture: MakePicture) -> None:
    def told(**signature: str) -> dict[str, object]:
        drew = {"role": "model", "parts": [{**inline(picture(64, 64)), **signature}]}
        turns = [{"role": "user", "parts": [{"text": "a fox"}]}, drew, {"role": "user", "parts": [{"text": "bigger"}]}]
        return {"contents": turns}

    url = f"{address}/gemini/v1beta/models/{PRO}:generateContent"
    assert "content position 2, part position 1" in (await refusal(http, url, told())).message
    assert "not valid" in (await refusal(http, url, told(thoughtSignature="a*b"))).message
    for signature in ("skip_thought_signature_validator", "aGVsbG8="):
        async with http.post(url, json=told(thoughtSignature=signature)) as answer:
            assert answer.status == 200, await answer.text()
    async with http.post(url.replace(PRO, OLD), json=told()) as answer:
        assert answer.status == 200, await answer.text()


@pytest.mark.parametrize(
    ("model", "parameters", "field"),
    [
        (IMAGEN, {"sampleCount": 5}, "parameters.sample_count"),
        (IMAGEN, {"sampleCount": 0}, "parameters.sample_count"),
        (IMAGEN, {"aspectRatio": "3:2"}, "parameters.aspect_ratio"),
        (IMAGEN, {"sampleImageSize": "4K"}, "parameters.sample_image_size"),
        ("imagen-4.0-fast-generate-001", {"sampleImageSize": "2K"}, "parameters.sample_image_size"),
        (IMAGEN, {"personGeneration": "everybody"}, "parameters.person_generation"),
        (IMAGEN, {"outputOptions": {"mimeType": "image/webp"}}, "parameters.output_options.mime_type"),
        (IMAGEN, {"seed": 7}, "parameters"),
        (IMAGEN, {"negativePrompt": "dogs"}, "parameters"),
        (IMAGEN, {"addWatermark": False}, "parameters"),
    ],
    ids=lambda value: str(value)[:60],
)
async def test_imagen_refuses(
    address: str, http: ClientSession, model: str, parameters: dict[str, object], field: str
) -> None:
    body = {"instances": [{"prompt": "a fox"}], "parameters": parameters}
    error = await refusal(http, f"{address}/gemini/v1beta/models/{model}:predict", body)
    assert error.details[0]["fieldViolations"][0]["field"] == field  # type: ignore[index]


@pytest.mark.parametrize("body", [{}, {"instances": []}, {"instances": [{"prompt": ""}]}, {"prompt": "a fox"}], ids=str)
async def test_imagen_wants_one_prompt(address: str, http: ClientSession, body: object) -> None:
    await refusal(http, f"{address}/gemini/v1beta/models/{IMAGEN}:predict", body)


@pytest.mark.parametrize(
    "path",
    [
        f"models/{OLD}:predict",
        f"models/{IMAGEN}:generateContent",
        f"models/{OLD}:countTokens",
        f"models/{OLD}",
        "models/gemini-9:generateContent",
        "models/gemini-3.1-flash-image-preview:generateContent",
        "files",
    ],
)
async def test_what_is_not_there(address: str, http: ClientSession, path: str) -> None:
    assert (await refusal(http, f"{address}/gemini/v1beta/{path}", FOX, 404)).status == "NOT_FOUND"


@pytest.mark.parametrize("body", [b"", b"[]", b"{", b"\xff"], ids=repr)
async def test_what_is_no_json_object(address: str, http: ClientSession, body: bytes) -> None:
    async with http.post(f"{address}/gemini/v1beta/models/{OLD}:generateContent", data=body) as answer:
        assert answer.status == 400
