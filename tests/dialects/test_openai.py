"""Answers are read by the official SDK's own types, validated strictly."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec
import pytest
from openai.types import (
    ImageEditCompletedEvent,
    ImageGenCompletedEvent,
    ImageGenPartialImageEvent,
    ImagesResponse,
    Model,
)

from pictura.core import errors, ids
from pictura.core.model import Choice, Inputs, ModelCard, Source
from pictura.core.picture import Inline
from pictura.core.price import PerPicture, Usage
from pictura.core.request import Body, ImageRequest, Upload, mark
from pictura.core.result import Delivered, ImageResult
from pictura.core.views import Call, ModelView
from pictura.dialects.base import Reply
from pictura.dialects.openai import OpenAI

DIALECT = OpenAI()
CALL = Call(request_id="req_1", job_id=ids.new("job"))
REQUEST = ImageRequest(model="gpt-image-2", prompt="a fox", delivery="b64_json", params={"quality": "low"})
PICTURE = Delivered(key="out/1", media_type="image/webp", width=1024, height=768)
RESULT = ImageResult(
    created_ms=1_769_286_389_027,
    pictures=(PICTURE,),
    usage=Usage(text_in=5, image_in=7, text_out=1, image_out=196),
    echo={"quality": "low", "background": "opaque", "output_format": "png", "seed": "3"},
)


class Nothing:
    size = 0

    def read(self, offset: int = 0, size: int = -1) -> bytes:
        return b""

    def chunks(self, size: int = 65536) -> Iterator[bytes]:
        yield b""


class Here:
    """Hands that give what a test can recognise."""

    def url(self, picture: Delivered) -> str:
        return picture.url or f"https://img.example/{picture.key}"

    def base64(self, picture: Delivered) -> Inline:
        return Inline(Nothing())


def as_sent(value: object) -> object:
    """As the door writes it, with a word for each picture."""
    if isinstance(value, Inline):
        return "base64 of a picture"
    if isinstance(value, dict):
        return {key: as_sent(item) for key, item in value.items()}
    if isinstance(value, list):
        return [as_sent(item) for item in value]
    return value


def written(value: object) -> bytes:
    return msgspec.json.encode(as_sent(value))


def decode(fields: dict[str, object], *, edit: bool = False, uploads: tuple[Upload, ...] = ()) -> ImageRequest:
    return DIALECT.decode(CALL, Body({"model": "gpt-image-2", **fields}, list(uploads)), edit=edit)


def answer(path: str, view: object, call: Call = CALL) -> Reply:
    route = next(route for route in DIALECT.routes if route.path == path)
    assert route.answer is not None
    return route.answer(DIALECT, call, view)


def test_defaults() -> None:
    request = decode({"prompt": "a fox"})
    assert request.delivery == "b64_json"
    assert request.unknown == "refuse"
    assert request.output_format == ""
    assert not request.adjustable
    assert {decode({"model": model}).delivery for model in ("dall-e-2", "dall-e-3")} == {"url"}
    assert decode({"response_format": "url"}).delivery == "url"


def test_a_stream_is_of_one_picture() -> None:
    with pytest.raises(errors.BadRequest, match="n must be 1 when stream is true"):
        decode({"model": "m", "n": 2, "stream": True})
    assert decode({"model": "m", "n": 2, "stream": False}).n == 2
    assert decode({"model": "m", "stream": True}).stream


def test_no_model() -> None:
    with pytest.raises(errors.BadRequest, match="dall-e-2, is retired"):
        DIALECT.decode(CALL, Body({"prompt": "a fox"}), edit=False)


def test_an_edit_in_json() -> None:
    fields: dict[str, object] = {
        "prompt": "join them",
        "images": [{"image_url": mark(0)}, {"image_url": "https://a.example/b.png"}],
        "mask": {"image_url": mark(1)},
        "input_fidelity": "high",
    }
    request = decode(fields, edit=True, uploads=(Upload("", Nothing()), Upload("", Nothing())))
    assert [picture.ref for picture in request.images] == ["upload:0", "https://a.example/b.png"]
    assert request.mask is not None
    assert request.mask.ref == "upload:1"


def test_an_edit_needs_a_picture() -> None:
    with pytest.raises(errors.BadRequest, match="image is required"):
        decode({"prompt": "a fox"}, edit=True)


def test_the_answer() -> None:
    reply = DIALECT.picture(CALL, REQUEST, RESULT, Here())
    told = ImagesResponse.model_validate_json(written(reply.body), strict=True)
    assert told.created == 1_769_286_389
    assert told.data is not None
    assert [(datum.b64_json, datum.url) for datum in told.data] == [("base64 of a picture", None)]
    assert (told.size, told.quality, told.background, told.output_format) == ("1024x768", "low", "opaque", "webp")
    assert told.usage is not None
    assert (told.usage.total_tokens, told.usage.input_tokens, told.usage.output_tokens) == (209, 12, 197)
    assert told.usage.input_tokens_details.image_tokens == 7
    assert not told.model_extra


def test_an_answer_of_urls_about_which_little_is_known() -> None:
    request = msgspec.structs.replace(REQUEST, delivery="url")
    pictures = (Delivered(key="a", revised_prompt="a red fox"), Delivered(key="b"))
    reply = DIALECT.picture(CALL, request, ImageResult(created_ms=1000, pictures=pictures), Here())
    assert reply.body == {
        "created": 1,
        "data": [
            {"url": "https://img.example/a", "revised_prompt": "a red fox"},
            {"url": "https://img.example/b"},
        ],
    }


def test_a_picture_that_is_handed_on_has_its_own_url_only() -> None:
    pictures = (Delivered(url="https://upstream.example/a"),)
    reply = DIALECT.picture(CALL, REQUEST, ImageResult(created_ms=1000, pictures=pictures), Here())
    assert reply.body == {"created": 1, "data": [{"url": "https://upstream.example/a"}]}


def test_what_was_not_as_asked_is_in_the_headers() -> None:
    result = msgspec.structs.replace(RESULT, adjusted=("image_size=3K→2K",), ignored=("a\r\nb",), short="1 of 2")
    headers = DIALECT.picture(CALL, REQUEST, result, Here()).headers
    assert {name: value.encode("latin-1").decode() for name, value in headers.items()} == {
        "x-pictura-adjusted": "image_size=3K→2K",
        "x-pictura-ignored": "a  b",
        "x-pictura-short": "1 of 2",
    }


def test_the_last_event() -> None:
    (event,) = DIALECT.event(CALL, REQUEST, RESULT, Here())
    told = ImageGenCompletedEvent.model_validate_json(written(event.data), strict=True)
    assert event.name == told.type == "image_generation.completed"
    assert (told.size, told.quality, told.background, told.output_format) == ("1024x768", "low", "opaque", "webp")
    assert (told.created_at, told.usage.total_tokens) == (1_769_286_389, 209)


def test_the_last_event_of_an_edit_about_which_nothing_is_known() -> None:
    request = ImageRequest(model="m", operation="edit", delivery="b64_json")
    (event,) = DIALECT.event(CALL, request, ImageResult(created_ms=0, pictures=(Delivered(),)), Here())
    told = ImageEditCompletedEvent.model_validate_json(written(event.data), strict=True)
    assert event.name == told.type == "image_edit.completed"
    assert (told.size, told.quality, told.background, told.output_format) == ("auto", "auto", "auto", "png")


def test_a_preview() -> None:
    event = DIALECT.preview(CALL, REQUEST, 1, Inline(Nothing()))
    told = ImageGenPartialImageEvent.model_validate_json(written(event.data), strict=True)
    assert event.name == told.type == "image_generation.partial_image"
    assert told.partial_image_index == 1
    assert told.created_at == ids.born_s(CALL.job_id)
    assert told.quality == "low"


@pytest.mark.parametrize(
    ("error", "status", "kind", "code"),
    [
        (errors.BadRequest("no", param="n"), 400, "invalid_request_error", None),
        (errors.Unsupported("no", param="size"), 400, "invalid_request_error", "invalid_value"),
        (errors.TooLarge("no"), 413, "invalid_request_error", "request_too_large"),
        (errors.Forbidden("no"), 403, "invalid_request_error", "insufficient_permissions"),
        (errors.UnknownModel("no"), 404, "invalid_request_error", "model_not_found"),
        (errors.RetiredModel("no", successor="gpt-image-2"), 404, "invalid_request_error", "model_not_found"),
        (errors.InsufficientBalance("no"), 429, "insufficient_quota", "insufficient_quota"),
        (errors.CapReached("no"), 429, "insufficient_quota", "insufficient_quota"),
        (errors.RateLimited("no"), 429, "requests", "rate_limit_exceeded"),
        (errors.Refused("no"), 400, "image_generation_user_error", "moderation_blocked"),
        (errors.WrongMediaType("no"), 415, "invalid_request_error", "unsupported_media_type"),
        (errors.TooSlow("no"), 408, "invalid_request_error", "request_timeout"),
        (errors.Throttled("no"), 429, "requests", "rate_limit_exceeded"),
        (errors.NotSent("no"), 503, "server_error", "upstream_unreachable"),
        (errors.Failed("no"), 502, "server_error", "upstream_failed"),
        (errors.Lost("no"), 504, "server_error", "upstream_lost"),
        (errors.HouseError("no"), 500, "server_error", None),
    ],
)
def test_errors(error: errors.PicturaError, status: int, kind: str, code: str | None) -> None:
    reply = DIALECT.error(CALL, error)
    assert reply.status == status
    assert reply.body == {
        "error": {"message": "no", "type": kind, "param": error.param, "code": code, "request_id": "req_1"}
    }


def test_a_wrong_key_is_told_in_openai_s_words() -> None:
    """LiteLLM looks for them in the message."""
    reply = DIALECT.error(CALL, errors.Unauthorized("no"))
    words = {"message": "Incorrect API key provided: no", "type": "invalid_request_error", "code": "invalid_api_key"}
    assert reply.status == 401
    assert reply.body == {"error": {**words, "param": None, "request_id": "req_1"}}


def test_when_to_come_back() -> None:
    assert DIALECT.error(CALL, errors.RateLimited("no", retry_after_s=7)).headers == {"retry-after": "7"}
    assert DIALECT.error(CALL, errors.NotSent("no", retry_after_s=9)).headers == {"retry-after": "9"}
    assert DIALECT.error(CALL, errors.Lost("no")).headers == {"x-should-retry": "false"}
    assert DIALECT.error(CALL, errors.InsufficientBalance("no")).headers == {"x-should-retry": "false"}
    assert DIALECT.error(CALL, errors.BadRequest("no")).headers == {}


def test_variations_are_not_offered() -> None:
    reply = answer("/v1/images/variations", None)
    assert reply.status == 404
    assert b"not offered; use POST /v1/images/edits" in written(reply.body)


def test_models() -> None:
    card = ModelCard(id="gpt-image-1.5", status="deprecated", ends="2026-12-01", source=Source("SDK", "2026-11"))
    view = ModelView(card, ("openai", "azure"), 3, 1_765_843_200)
    body = answer("/v1/models", [view, ModelView(msgspec.structs.replace(card, ends=""), (), 0, 0)]).body
    assert isinstance(body, dict)
    assert body["object"] == "list"
    first, second = (Model.model_validate(item, strict=True) for item in body["data"])
    assert (first.id, first.created, first.owned_by) == ("gpt-image-1.5", 1_765_843_200, "openai")
    assert (first.shutdown_date, second.shutdown_date, second.owned_by) == ("2026-12-01", None, "pictura")
    assert answer("/v1/models/{id:path}", view).body == body["data"][0]


def test_a_model_says_what_it_takes_and_costs() -> None:
    quality = Choice(("low", "high"), "low")
    price = PerPicture(40_000)
    source = Source("SDK", "2026-11")
    card = ModelCard(id="fox", params={"quality": quality}, inputs=Inputs(count=2), price=price, source=source)
    body = answer("/v1/models/{id:path}", ModelView(card, (), 0, 0)).body
    assert isinstance(body, dict)
    assert body["parameters"]["quality"] == {"type": "enum", "values": ("low", "high"), "default": "low"}
    assert body["parameters"]["n"] == {"type": "range", "min": 1, "max": 10}
    assert body["parameters"]["image"]["max"] == 2
    assert body["required"] == (("prompt",),)
    assert body["pricing"] == [{"billable": "output_image", "unit": "image", "usd": "0.04"}]
    unpriced = answer("/v1/models/{id:path}", ModelView(msgspec.structs.replace(card, price=None), (), 0, 0)).body
    assert isinstance(unpriced, dict)
    assert unpriced["pricing"] is None
