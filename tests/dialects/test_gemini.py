"""Answers are read by the official SDK's own types, which take no field they do not know."""

from __future__ import annotations

import msgspec
import pytest
from google.genai import errors as sdk_errors
from google.genai import types
from hypothesis import given, settings
from hypothesis import strategies as st

from pictura.core import errors
from pictura.core.errors import CallerError, PicturaError
from pictura.core.model import ModelCard, Prompt, Source
from pictura.core.price import Usage
from pictura.core.request import Body, ImageRequest, Turn, Upload, mark
from pictura.core.result import Delivered, Piece
from pictura.core.size import Size
from pictura.core.views import Call, ModelView
from pictura.dialects.gemini import Gemini
from tests.dialects.speaking import HERE, answered, as_sent, complaint, decode, refs, result, upload

DIALECT = Gemini()
MODEL = "gemini-2.5-flash-image"
START = "/v1beta/models/"
CALL = Call(request_id="req_1", path=f"{START}{MODEL}:generateContent", place={"model": MODEL})
STREAM = msgspec.structs.replace(CALL, path=f"{START}{MODEL}:streamGenerateContent")
EVENTS = msgspec.structs.replace(STREAM, query={"alt": "sse"})
REQUEST = ImageRequest(model=MODEL, prompt="a fox", delivery="b64_json")
PICTURE = Delivered(key="a", media_type="image/png", width=64, height=64)
USAGE = Usage(text_in=5, image_in=258, text_out=3, image_out=1290)


def say(*parts: object, role: str = "user") -> dict[str, object]:
    return {"role": role, "parts": list(parts)}


def inline(place: int) -> dict[str, object]:
    return {"inlineData": {"mimeType": "image/png", "data": mark(place)}}


def refusal(fields: dict[str, object], *uploads: Upload, call: Call = CALL) -> errors.BadRequest:
    with pytest.raises(errors.BadRequest) as caught:
        decode(DIALECT, fields, *uploads, call=call)
    return caught.value


# -- requests --


def test_a_prompt() -> None:
    request = decode(DIALECT, {"contents": [say({"text": "a fox"})]}, call=CALL)
    assert (request.model, request.prompt, request.operation) == (MODEL, "a fox", "generate")
    assert (request.delivery, request.stream, request.unknown) == ("b64_json", False, "refuse")
    assert not request.turns


def test_a_body_of_the_sdk() -> None:
    """As `generate_content` writes a config with everything that a picture may want."""
    config = {
        "temperature": 0.4,
        "topP": 0.9,
        "topK": 20,
        "candidateCount": 2,
        "seed": 7,
        "maxOutputTokens": 8192,
        "responseModalities": ["TEXT", "IMAGE"],
        "imageConfig": {"aspectRatio": "4:5", "imageSize": "2K", "outputMimeType": "image/jpeg"},
        "thinkingConfig": {"thinkingBudget": 0},
    }
    safety = [{"category": "HARM_CATEGORY_HARASSMENT", "threshold": "BLOCK_NONE"}]
    fields = {"contents": [say({"text": "a fox"})], "generationConfig": config, "safetySettings": safety}
    request = decode(DIALECT, fields, call=CALL)
    assert (request.n, request.size, request.output_format) == (2, Size(aspect="4:5", tier="2K"), "jpeg")
    assert request.params == {
        "temperature": 0.4,
        "top_p": 0.9,
        "top_k": 20,
        "seed": 7,
        "response_modalities": ["IMAGE", "TEXT"],
    }
    assert request.extra.keys() <= request.harmless


def test_words_with_underscores() -> None:
    config = {"response_modalities": ["IMAGE"], "image_config": {"aspect_ratio": "16:9", "image_size": "1K"}}
    parts = [{"text": "p"}, {"inline_data": {"mime_type": "image/png", "data": mark(0)}}]
    request = decode(DIALECT, {"contents": say(*parts), "generation_config": config}, upload(), call=CALL)
    assert (request.size, refs(request), request.params) == (Size(aspect="16:9", tier="1K"), ["upload:0"], {})


def test_texts_and_pictures_keep_their_order() -> None:
    file = {"fileData": {"mimeType": "image/png", "fileUri": "https://a.example/a.png"}}
    parts = [{"text": "the hat of"}, inline(0), {"text": "on the head of"}, file]
    request = decode(DIALECT, {"contents": [say(*parts)]}, upload(), call=CALL)
    assert request.prompt == "the hat of\non the head of"
    assert refs(request) == ["upload:0", "https://a.example/a.png"]
    assert request.turns == (Turn("user", ("the hat of", 0, "on the head of", 1)),)


def test_several_turns() -> None:
    contents = [say({"text": "a fox"}), say({"text": "Here it is."}, inline(0), role="model"), say({"text": "redder"})]
    request = decode(DIALECT, {"contents": contents}, upload(), call=CALL)
    assert request.turns == (Turn("user", ("a fox",)), Turn("model", ("Here it is.", 0)), Turn("user", ("redder",)))
    assert (request.operation, refs(request)) == ("edit", ["upload:0"])


def test_the_model_stands_in_the_path() -> None:
    assert "the model stands in the path" in complaint(DIALECT, {"contents": [say({"text": "p"})]}).message


@pytest.mark.parametrize("repeated", [MODEL, f"models/{MODEL}", "", None])
def test_a_body_may_repeat_the_model(repeated: object) -> None:
    full = msgspec.structs.replace(CALL, place={"model": f"models/{MODEL}"})
    for call in (CALL, full):
        fields = {"model": repeated, "contents": [say({"text": "p"})]}
        assert decode(DIALECT, fields, call=call).model == MODEL


@pytest.mark.parametrize("other", ["gpt-image-2", "models/gpt-image-2", 7, [MODEL]])
def test_a_body_cannot_name_another_model(other: object) -> None:
    wrong = refusal({"model": other, "contents": [say({"text": "p"})]})
    assert (wrong.param, MODEL in wrong.message) == ("model", True)


@pytest.mark.parametrize("name", ["systemInstruction", "system_instruction"])
@pytest.mark.parametrize("told", ["be\nbrief", {"parts": [{"text": "be"}, {"text": "brief"}]}, {"text": "be\nbrief"}])
def test_an_instruction(name: str, told: object) -> None:
    request = decode(DIALECT, {"contents": [say({"text": "p"})], name: told}, call=CALL)
    assert (request.system, request.prompt, request.extra) == ("be\nbrief", "p", {})


def test_an_instruction_is_a_text() -> None:
    fields: dict[str, object] = {"contents": [say({"text": "p"})], "systemInstruction": {"parts": [inline(0)]}}
    assert refusal(fields, upload()).param == "systemInstruction.parts[0].text"


def test_signatures_stay_with_their_parts() -> None:
    parts = [{"text": "Here.", "thoughtSignature": "YQ=="}, inline(0), {**inline(1), "thought_signature": "Yg=="}]
    draft = {"text": "hm", "thought": True, "thoughtSignature": "Yw=="}
    contents = [say({"text": "a fox"}), say(draft, *parts, role="model"), say({"text": "redder"})]
    request = decode(DIALECT, {"contents": contents}, upload(), upload(), call=CALL)
    assert request.turns[1] == Turn("model", ("Here.", 0, 1), ("YQ==", "", "Yg=="))
    assert request.turns[2].signatures == ()


@pytest.mark.parametrize("role", ["assistant", "system", "USER", 7, [], {}])
def test_roles_that_there_are_not(role: object) -> None:
    wrong = refusal({"contents": [{"role": role, "parts": [{"text": "p"}]}]})
    assert (wrong.param, "user, model" in wrong.message) == ("contents[0].role", True)


def test_a_role_may_be_missing() -> None:
    for content in ({"parts": [{"text": "p"}]}, say({"text": "p"}, role="")):
        assert decode(DIALECT, {"contents": [content]}, call=CALL).prompt == "p"


@pytest.mark.parametrize(
    ("content", "param"),
    [
        ({"role": "user", "part": []}, "contents[0].part"),
        (say({"txt": "p"}), "contents[0].parts[0].txt"),
        (say({"\ud800\x00": "p"}), "contents[0].parts[0].\\ud800\\x00"),
        (say({"text": "p"}, {"functionCall": {}}), "contents[0].parts[1].functionCall"),
        (say({"inlineData": {"mime": "x", "data": "y"}}), "contents[0].parts[0].inlineData.mime"),
        (say({"file_data": {"url": "https://a.example"}}), "contents[0].parts[0].file_data.url"),
    ],
)
def test_fields_that_nobody_knows(content: object, param: str) -> None:
    assert refusal({"contents": [content]}).param == param


def test_there_are_no_tasks() -> None:
    wrong = refusal({"contents": [say({"text": "p"})]}, call=msgspec.structs.replace(CALL, query={"async": "True"}))
    assert (wrong.param, "/v1/images/generations?async=true" in wrong.message) == ("async", True)


def test_candidates_of_a_stream() -> None:
    fields: dict[str, object] = {"contents": [say({"text": "p"})], "generationConfig": {"candidateCount": 2}}
    for call in (EVENTS, STREAM):
        assert decode(DIALECT, fields, call=call).n == 2


def test_complaints_of_a_size_name_the_clients_field() -> None:
    config = {"imageConfig": {"aspectRatio": "4:5", "imageSize": "3K"}}
    request = decode(DIALECT, {"contents": [say({"text": "p"})], "generationConfig": config}, call=CALL)
    assert request.size_fields == {"aspect": "aspectRatio", "tier": "imageSize"}
    config = {"imageConfig": {"aspectRatio": "4:5", "imageSize": "1024x1024"}}
    assert refusal({"contents": [say({"text": "p"})], "generationConfig": config}).param == "imageSize"


@pytest.mark.parametrize(
    ("call", "streams"),
    [
        (CALL, False),
        (STREAM, False),
        (EVENTS, True),
        (msgspec.structs.replace(CALL, query={"alt": "sse"}), False),
        (msgspec.structs.replace(STREAM, query={"alt": "json"}), False),
    ],
)
def test_a_stream_is_asked_for_by_the_path(call: Call, streams: bool) -> None:
    assert decode(DIALECT, {"prompt": "p"}, call=call).stream is streams
    said = decode(DIALECT, {"prompt": "p", "stream": True, "partial_images": 2}, call=call)
    assert (said.stream, said.partial_images, said.extra) == (streams, 0, {"stream": True, "partial_images": 2})


#: Whatever a client may write where the model stands: any text, marks that mean something, too much.
ANYTHING = st.text(max_size=30) | st.text("a/:%.?#\n\t\x00 ", max_size=30) | st.just("x" * 250)


@settings(deadline=None)
@given(model=ANYTHING)
def test_any_text_for_a_model(model: str) -> None:
    try:
        request = DIALECT.decode(Call(request_id="r", place={"model": model}), Body({"prompt": "p"}), edit=False)
    except CallerError as error:
        assert error.param == "model"
    else:
        assert request.model == model
        assert model.isprintable()


# -- answers --


def response(told: object) -> types.GenerateContentResponse:
    """As the SDK reads it."""
    return types.GenerateContentResponse.model_validate(as_sent(told))


def test_the_answer() -> None:
    drawn = result(PICTURE, usage=USAGE, texts=("Here it is.",), adjusted=("temperature=1→none",))
    reply = DIALECT.picture(CALL, REQUEST, drawn, HERE)
    told = response(reply.body)
    (candidate,) = told.candidates
    assert (candidate.finish_reason, candidate.index, candidate.content.role) == ("STOP", 0, "model")
    text, picture = candidate.content.parts
    assert text.text == "Here it is."
    assert picture.inline_data.mime_type == "image/png"
    assert (told.model_version, told.response_id) == (MODEL, "req_1")
    usage = told.usage_metadata
    assert (usage.prompt_token_count, usage.candidates_token_count, usage.total_token_count) == (263, 1293, 1556)
    assert [(one.modality, one.token_count) for one in usage.prompt_tokens_details] == [("TEXT", 5), ("IMAGE", 258)]
    assert reply.headers["x-pictura-adjusted"].encode("latin-1").decode() == "temperature=1→none"


def test_several_pictures_are_candidates() -> None:
    request = msgspec.structs.replace(REQUEST, n=2)
    told = response(DIALECT.picture(CALL, request, result(PICTURE, PICTURE, texts=("Both.",)), HERE).body)
    assert [candidate.index for candidate in told.candidates] == [0, 1]
    assert [len(candidate.content.parts) for candidate in told.candidates] == [2, 1]


PIECES = (Piece(text="One"), Piece(picture=1, signature="YQ=="), Piece(text="two"), Piece(picture=0), Piece(text="."))
OTHER = Delivered(key="b", media_type="image/jpeg")


def test_parts_keep_the_vendors_order() -> None:
    drawn = result(PICTURE, OTHER, texts=("One", "two", "."), pieces=PIECES)
    (candidate,) = response(DIALECT.picture(CALL, REQUEST, drawn, HERE).body).candidates
    shown = [part.text or part.inline_data.mime_type for part in candidate.content.parts]
    assert shown == ["One", "image/jpeg", "two", "image/png", "."]
    assert [bool(part.thought_signature) for part in candidate.content.parts] == [False, True, False, False, False]


def test_each_candidate_has_what_stands_before_its_picture() -> None:
    request = msgspec.structs.replace(REQUEST, n=2)
    told = response(DIALECT.picture(CALL, request, result(PICTURE, OTHER, pieces=PIECES), HERE).body)
    shown = [[part.text or "picture" for part in candidate.content.parts] for candidate in told.candidates]
    assert shown == [["One", "picture"], ["two", "picture", "."]]


def test_what_google_told_is_passed_on() -> None:
    extras = {"groundingMetadata": {"webSearchQueries": ["foxes"]}, "safetyRatings": [], "other": 1}
    drawn = result(PICTURE, usage=USAGE, extras=extras, thought_tokens=2)
    told = response(DIALECT.picture(CALL, REQUEST, drawn, HERE).body)
    assert told.candidates[0].grounding_metadata.web_search_queries == ["foxes"]
    usage = told.usage_metadata
    assert (usage.thoughts_token_count, usage.candidates_token_count, usage.total_token_count) == (2, 1291, 1556)
    assert [one.token_count for one in usage.candidates_tokens_details] == [1, 1290]


def test_several_pictures_of_one_request_are_parts() -> None:
    """As a model sends them that draws more than it was asked for."""
    told = response(DIALECT.picture(CALL, REQUEST, result(PICTURE, PICTURE), HERE).body)
    assert [len(candidate.content.parts) for candidate in told.candidates] == [2]


def test_a_url_is_file_data() -> None:
    request = msgspec.structs.replace(REQUEST, delivery="url")
    told = response(DIALECT.picture(CALL, request, result(PICTURE, Delivered(url="https://b.example/b")), HERE).body)
    files = [part.file_data for part in told.candidates[0].content.parts]
    assert [(file.mime_type, file.file_uri) for file in files] == [
        ("image/png", "https://img.example/a"),
        ("image/png", "https://b.example/b"),
    ]


def test_nothing_is_known_of_tokens() -> None:
    """Clients add these up."""
    told = response(DIALECT.picture(CALL, REQUEST, result(PICTURE), HERE).body).usage_metadata
    assert (told.prompt_token_count, told.candidates_token_count, told.total_token_count) == (0, 0, 0)
    assert (told.prompt_tokens_details, told.candidates_tokens_details) == ([], [])


def test_a_stream_is_one_chunk() -> None:
    whole = DIALECT.picture(CALL, REQUEST, result(PICTURE), HERE).body
    (event,) = DIALECT.event(EVENTS, REQUEST, result(PICTURE), HERE)
    assert (event.name, as_sent(event.data)) == ("", as_sent(whole))
    assert as_sent(DIALECT.picture(STREAM, REQUEST, result(PICTURE), HERE).body) == [as_sent(whole)]


# -- errors and refusals --


@pytest.mark.parametrize(
    ("error", "status", "word"),
    [
        (errors.BadRequest("no", param="n"), 400, "INVALID_ARGUMENT"),
        (errors.Unsupported("no", param="size"), 400, "INVALID_ARGUMENT"),
        (errors.TooLarge("no"), 413, "INVALID_ARGUMENT"),
        (errors.WrongMediaType("no"), 415, "INVALID_ARGUMENT"),
        (errors.TooSlow("no"), 408, "DEADLINE_EXCEEDED"),
        (errors.NotFound("no"), 404, "NOT_FOUND"),
        (errors.UnknownModel("no", param="model"), 404, "NOT_FOUND"),
        (errors.RetiredModel("no"), 404, "NOT_FOUND"),
        (errors.Unauthorized("no"), 401, "UNAUTHENTICATED"),
        (errors.Forbidden("no"), 403, "PERMISSION_DENIED"),
        (errors.InsufficientBalance("no"), 402, "RESOURCE_EXHAUSTED"),
        (errors.RateLimited("no", retry_after_s=7), 429, "RESOURCE_EXHAUSTED"),
        (errors.Throttled("no", retry_after_s=9), 429, "RESOURCE_EXHAUSTED"),
        (errors.NotSent("no"), 503, "UNAVAILABLE"),
        (errors.Rejected("no"), 502, "UNAVAILABLE"),
        (errors.Failed("no"), 520, "UNAVAILABLE"),
        (errors.Lost("no"), 524, "DEADLINE_EXCEEDED"),
        (errors.HouseError("no"), 500, "INTERNAL"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, PicturaError) else None,
)
def test_errors(error: PicturaError, status: int, word: str) -> None:
    reply = DIALECT.error(CALL, error)
    read = sdk_errors.APIError(reply.status, as_sent(reply.body))
    assert (read.code, read.status, read.message) == (status, word, "no")
    details = {detail["@type"].rpartition(".")[2]: detail for detail in read.details["error"]["details"]}
    assert details["ErrorInfo"]["reason"] == error.code.upper()
    assert details["RequestInfo"]["requestId"] == "req_1"
    wrong = details.get("BadRequest", {}).get("fieldViolations", [])
    assert wrong == ([{"field": error.param, "description": "no"}] if error.param else [])
    wait = getattr(error, "retry_after_s", None)
    assert details.get("RetryInfo", {}).get("retryDelay") == (None if wait is None else f"{wait}s")


def test_words_instead_of_a_picture_are_no_refusal() -> None:
    reply = DIALECT.error(CALL, errors.Malformed("words instead: What colour?", upstream_code="STOP"))
    read = sdk_errors.APIError(reply.status, as_sent(reply.body))
    assert (read.code, read.message) == (520, "words instead: What colour?")
    assert read.details["error"]["details"][0]["metadata"] == {"finishReason": "STOP"}


def test_a_refusal_alone_belongs_into_the_stream() -> None:
    assert DIALECT.streams_error(errors.Refused("no"))
    assert not DIALECT.streams_error(errors.Failed("no"))


@pytest.mark.parametrize(
    ("reason", "word"),
    [
        ("SAFETY", "SAFETY"),
        ("MODEL_ARMOR", "MODEL_ARMOR"),
        ("BLOCKLIST", "BLOCKLIST"),
        ("PROHIBITED_CONTENT", "PROHIBITED_CONTENT"),
        ("moderation_blocked", "SAFETY"),
        ("", "SAFETY"),
    ],
)
def test_a_prompt_that_was_refused(reason: str, word: str) -> None:
    reply = DIALECT.error(CALL, errors.Refused("it was refused", reason=reason))
    told = response(reply.body)
    assert reply.status == 200
    assert not told.candidates
    assert (told.prompt_feedback.block_reason, told.prompt_feedback.block_reason_message) == (word, "it was refused")


@pytest.mark.parametrize("reason", ["IMAGE_SAFETY", "IMAGE_PROHIBITED_CONTENT", "RECITATION"])
def test_a_picture_that_was_refused(reason: str) -> None:
    told = response(DIALECT.error(CALL, errors.Refused("it was refused", reason=reason)).body)
    (candidate,) = told.candidates
    assert (candidate.finish_reason, candidate.finish_message) == (reason, "it was refused")
    assert candidate.content is None
    assert told.prompt_feedback is None


def test_a_refusal_that_was_billed_is_not_tried_again() -> None:
    assert DIALECT.error(CALL, errors.Refused("no", billed=True)).headers == {"x-should-retry": "false"}


@pytest.mark.parametrize("error", [errors.Refused("no"), errors.Failed("no")])
def test_what_a_stream_ends_with(error: PicturaError) -> None:
    whole = as_sent(DIALECT.error(CALL, error).body)
    assert as_sent(DIALECT.failed_event(EVENTS, error).data) == whole
    assert as_sent(DIALECT.error(STREAM, error).body) == [whole]


def test_silence_is_an_empty_line() -> None:
    """The SDK takes an SSE comment for the beginning of an error."""
    assert DIALECT.keep_alive.strip() == b""


# -- models --

CARD = ModelCard(
    id="vendor/model:free", prompt=Prompt(max_chars=4_000), released="2026-04-21", source=Source("a test", "2026-11")
)
VIEWS = [ModelView(msgspec.structs.replace(CARD, id=f"m{number}"), (), 0, 0) for number in range(5)]


def names(**query: str) -> tuple[list[str], str]:
    body = answered(DIALECT, "/v1beta/models", VIEWS, **query)
    assert isinstance(body, dict)
    return [model["name"] for model in body["models"]], body.get("nextPageToken", "")


def test_a_model() -> None:
    told = answered(DIALECT, "/v1beta/models/{id:path}", ModelView(CARD, ("openai",), 1, 0))
    read = types.Model._from_response(response=told, kwargs={})
    assert (read.name, read.display_name, read.version) == (
        "models/vendor/model:free",
        "vendor/model:free",
        "2026-04-21",
    )
    assert read.input_token_limit == 4_000


def test_models_come_in_pages() -> None:
    assert names() == (["models/m0", "models/m1", "models/m2", "models/m3", "models/m4"], "")
    assert names(pageSize="2") == (["models/m0", "models/m1"], "2")
    assert names(pageSize="2", pageToken="2") == (["models/m2", "models/m3"], "4")
    assert names(pageSize="2", pageToken="4") == (["models/m4"], "")
    assert names(pageSize="0", pageToken="9") == ([], "")


@pytest.mark.parametrize(
    "query", [{"pageSize": "many"}, {"pageToken": "-1"}, {"pageSize": "9" * 20}, {"pageSize": "٣"}]
)
def test_pages_that_there_are_not(query: dict[str, str]) -> None:
    with pytest.raises(errors.BadRequest) as caught:
        names(**query)
    assert caught.value.param == next(iter(query))
