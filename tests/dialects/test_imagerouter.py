from __future__ import annotations

from collections.abc import Iterator

import pytest

from pictura.core import errors
from pictura.core.model import Choice, Inputs, Mask, ModelCard, Source
from pictura.core.picture import Inline
from pictura.core.price import Free, PerMegapixel, PerPicture, PerToken, PriceList, Row, TokenFormula
from pictura.core.request import Body, ImageRequest, Upload
from pictura.core.result import Delivered, ImageResult
from pictura.core.size import FreePixels, ListedPixels, Shapes, Size
from pictura.core.views import Account, Call, KeyUsage, ModelView
from pictura.dialects.imagerouter import ImageRouter
from pictura.dialects.union import IDLE

DIALECT = ImageRouter()
CALL = Call(request_id="req_1")
SOURCE = Source("a test", "2026-11")
TOKENS = PerToken(text_in=5_000, image_in=8_000, image_out=30_000, output=TokenFormula({"low": 16, "medium": 48}))

CARDS = (
    ModelCard(
        id="openai/gpt-image-2",
        native="gpt-image-2",
        aliases=("GPT-image-2",),
        released="2026-04-21",
        sizes=ListedPixels(values=("1024x1024", "1536x1024"), auto=True),
        inputs=Inputs(count=16),
        mask=Mask(),
        params={"quality": Choice(("auto", "low", "medium"))},
        price=TOKENS,
        source=SOURCE,
    ),
    ModelCard(id="test/test", released="2025-01-01", price=Free(), source=SOURCE),
    ModelCard(id="flux", sizes=FreePixels(), price=PerMegapixel(30_000, 15_000), source=SOURCE),
    ModelCard(id="google/banana", sizes=Shapes(), released="2026-06-01", price=PerPicture(134_000), source=SOURCE),
    ModelCard(id="google/pro", price=PriceList((Row(240_000, size="4K"), Row(134_000, size="2K"))), source=SOURCE),
    ModelCard(id="bfl/unpriced", source=SOURCE),
)
VIEWS = [ModelView(card, (card.id.partition("/")[0], "fal"), 0, 0) for card in CARDS]


class Nothing:
    size = 0

    def read(self, offset: int = 0, size: int = -1) -> bytes:
        return b""

    def chunks(self, size: int = 65536) -> Iterator[bytes]:
        yield b""


class Here:
    def url(self, picture: Delivered) -> str:
        return f"https://img.example/{picture.key}.webp"

    def base64(self, picture: Delivered) -> Inline:
        return Inline(Nothing())


def ask(path: str, view: object, method: str = "GET", **query: str) -> object:
    route = next(route for route in DIALECT.routes if (route.method, route.path) == (method, path))
    assert route.answer is not None
    return route.answer(DIALECT, Call(request_id="req_1", method=method, query=query), view).body


def listed(**query: str) -> list[str]:
    body = ask("/v1/models", VIEWS, **query)
    assert isinstance(body, dict)
    return list(body)


def listed_v2(**query: str) -> list[str]:
    body = ask("/v2/models", VIEWS, **query)
    assert isinstance(body, list)
    return [entry["id"] for entry in body]


# -- drawing --


def test_the_pages_first_example() -> None:
    fields: dict[str, object] = {
        "prompt": "日落时宁静的山景",
        "model": "test/test",
        "quality": "auto",
        "size": "auto",
        "response_format": "url",
        "output_format": "webp",
    }
    request = DIALECT.decode(CALL, Body(fields), edit=False)
    assert (request.model, request.delivery, request.output_format) == ("test/test", "url", "webp")
    assert (request.params, request.unknown, request.max_prompt_chars) == ({"quality": "auto"}, "ignore", 10_000)


def test_defaults() -> None:
    request = DIALECT.decode(CALL, Body({"model": "test/test"}), edit=False)
    assert (request.delivery, request.output_format, request.size) == ("url", "webp", Size())
    assert request.adjustable == IDLE | {"size", "quality"}


def test_an_edit_without_a_picture_draws_from_its_text() -> None:
    fields: dict[str, object] = {"prompt": "夜晚的赛博朋克城市", "model": "test/test", "size": "1024x1024"}
    request = DIALECT.decode(CALL, Body(fields, form=True), edit=True)
    assert (request.operation, request.size) == ("generate", Size(width=1024, height=1024))


def test_the_pages_mask_example() -> None:
    uploads = [Upload("image[]", Nothing(), filename="a.webp"), Upload("mask[]", Nothing(), filename="b.webp")]
    request = DIALECT.decode(CALL, Body({"model": "test/test"}, uploads, form=True), edit=True)
    assert [picture.ref for picture in request.images] == ["upload:0"]
    assert request.mask is not None
    assert request.mask.ref == "upload:1"


def test_no_model() -> None:
    with pytest.raises(errors.BadRequest, match="'model' is a required parameter"):
        DIALECT.decode(CALL, Body({"prompt": "a fox"}), edit=False)


def test_the_answer() -> None:
    result = ImageResult(
        created_ms=1_769_286_389_027,
        pictures=(Delivered(key="a"), Delivered(key="b", revised_prompt="a red fox")),
        latency_ms=6942,
        cost=4_000,
        ignored=("seed_mode",),
    )
    reply = DIALECT.picture(CALL, ImageRequest(model="m"), result, Here())
    assert reply.body == {
        "created": 1_769_286_389_027,
        "data": [
            {"url": "https://img.example/a.webp", "revised_prompt": None},
            {"url": "https://img.example/b.webp", "revised_prompt": "a red fox"},
        ],
        "latency": 6942,
        "cost": 0.004,
    }
    assert reply.headers == {"x-pictura-ignored": "seed_mode"}


def test_an_answer_in_base64_whose_cost_nobody_knows() -> None:
    request = ImageRequest(model="m", delivery="b64_ephemeral")
    reply = DIALECT.picture(CALL, request, ImageResult(created_ms=1, pictures=(Delivered(),), cost=None), Here())
    assert isinstance(reply.body, dict)
    assert isinstance(reply.body["data"][0]["b64_json"], Inline)
    assert reply.body["cost"] is None


@pytest.mark.parametrize(
    ("error", "status", "kind"),
    [
        (errors.BadRequest("no"), 400, "invalid_request_error"),
        (errors.Unsupported("no"), 400, "invalid_request_error"),
        (errors.TooLarge("no"), 413, "invalid_request_error"),
        (errors.UnknownModel("no"), 400, "invalid_request_error"),
        (errors.Unauthorized("no"), 401, "unauthorized"),
        (errors.Forbidden("no"), 403, "access_denied"),
        (errors.RateLimited("no"), 429, "rate_limit_error"),
        (errors.Refused("no"), 400, "request_moderated"),
        (errors.WrongMediaType("no"), 415, "invalid_request_error"),
        (errors.TooSlow("no"), 408, "invalid_request_error"),
        (errors.Throttled("no"), 429, "rate_limit_error"),
        (errors.NotSent("no"), 503, "internal_error"),
        (errors.Rejected("no"), 502, "internal_error"),
        (errors.Lost("no"), 504, "timeout_error"),
        (errors.HouseError("no"), 500, "internal_error"),
    ],
)
def test_errors(error: errors.PicturaError, status: int, kind: str) -> None:
    reply = DIALECT.error(CALL, error)
    assert reply.status == status
    assert reply.body == {"error": {"message": "no", "type": kind, "request_id": "req_1"}}


def test_no_money() -> None:
    reply = DIALECT.error(CALL, errors.InsufficientBalance("$0.05 is needed"))
    assert reply.status == 402
    assert reply.body == {
        "error": {"message": "Insufficient credits: $0.05 is needed", "type": "internal_error", "request_id": "req_1"}
    }


def test_a_model_page_that_is_not_there() -> None:
    reply = DIALECT.error(Call(request_id="req_1", method="GET"), errors.UnknownModel("no model is called x"))
    assert reply.status == 404
    assert reply.body == {
        "error": {
            "message": "no model is called x",
            "type": "invalid_request_error",
            "param": "model",
            "code": "model_not_found",
            "request_id": "req_1",
        }
    }


# -- lists --


def test_an_entry_of_the_list() -> None:
    body = ask("/v1/models", VIEWS[:1])
    pricing = {"type": "post_generation", "range": {"min": 0.00588, "average": 0.05268, "max": 0.05268}}
    assert body == {
        "openai/gpt-image-2": {
            "providers": [
                {"id": "openai", "model_name": "gpt-image-2", "pricing": pricing},
                {"id": "fal", "model_name": "gpt-image-2", "pricing": pricing},
            ],
            "release_date": "2026-04-21",
            "sizes": ["auto", "1024x1024", "1536x1024"],
            "output": ["image"],
            "supported_params": {"mask": True, "quality": True, "edit": True},
        }
    }


def test_prices_and_sizes() -> None:
    body = ask("/v1/openai/images/models", VIEWS)
    assert isinstance(body, dict)
    pricing = {name: entry["providers"][0]["pricing"] for name, entry in body.items()}
    assert pricing["test/test"] == {"type": "fixed", "value": 0}
    assert pricing["google/banana"] == {"type": "fixed", "value": 0.134}
    assert pricing["flux"] == {"type": "calculated", "range": {"min": 0.03, "average": 0.03, "max": 0.03}}
    assert pricing["google/pro"] == {"type": "calculated", "range": {"min": 0.134, "average": 0.24, "max": 0.24}}
    assert pricing["bfl/unpriced"] is None
    assert body["test/test"]["sizes"] == ["auto"]
    assert "sizes" not in body["flux"]
    assert body["flux"]["inputs"] == {"image": False, "mask": False, "quality": False, "size": True}
    assert body["test/test"]["inputs"]["size"] is False


@pytest.mark.parametrize(
    ("query", "names"),
    [
        ({"type": "video"}, []),
        ({"type": "image", "name": "BANANA"}, ["google/banana"]),
        ({"name": "gpt-IMAGE"}, ["openai/gpt-image-2"]),
        ({"provider": "goog"}, ["google/banana", "google/pro"]),
        ({"free": "true"}, ["test/test"]),
        ({"free": "false", "provider": "bfl"}, ["bfl/unpriced"]),
        ({"sort": "name", "limit": "2"}, ["bfl/unpriced", "flux"]),
        ({"sort": "provider", "limit": "2"}, ["bfl/unpriced", "flux"]),
        ({"sort": "date", "limit": "2"}, ["google/banana", "openai/gpt-image-2"]),
        ({"sort": "price", "limit": "3"}, ["test/test", "flux", "openai/gpt-image-2"]),
        ({"type": "image", "sort": "newest", "limit": "many", "name": "test"}, ["test/test"]),
    ],
)
def test_filters(query: dict[str, str], names: list[str]) -> None:
    assert listed(**query) == names


def test_a_model_without_a_price_comes_last() -> None:
    assert listed(sort="price")[-1] == "bfl/unpriced"


def test_the_second_list() -> None:
    assert listed_v2(outputType="video") == []
    assert listed_v2(inputType="mask") == ["openai/gpt-image-2"]
    assert listed_v2(inputType="size") == ["openai/gpt-image-2", "flux", "google/banana"]
    assert listed_v2(inputType="seconds") == []
    assert listed_v2(name="GPT-image-2", sort="date") == ["openai/gpt-image-2"]
    assert ask("/v2/models", VIEWS[:1], fields="aliases,price") == [
        {
            "id": "openai/gpt-image-2",
            "aliases": ["gpt-image-2", "GPT-image-2"],
            "price": {"min": 0.00588, "average": 0.05268, "max": 0.05268},
        }
    ]
    assert ask("/v2/models/{id:path}", VIEWS[5]) == {
        "id": "bfl/unpriced",
        "name": "bfl/unpriced",
        "aliases": [],
        "inputs": {"image": False, "mask": False, "quality": False, "size": False},
        "output": ["image"],
        "price": None,
        "release_date": "",
    }


def test_popular_models_are_always_ten() -> None:
    uses = {4: 7, 11: 9}
    views = [ModelView(ModelCard(id=f"m{number}", source=SOURCE), (), uses.get(number, 0), 0) for number in range(12)]
    body = ask("/operations/get-popular-models", views, method="POST")
    assert isinstance(body, dict)
    assert body["json"][0] == {"id": "m11", "name": "m11", "count": 9}
    names = [entry["id"] for entry in body["json"]]
    assert names == ["m11", "m4", "m0", "m1", "m2", "m3", "m5", "m6", "m7", "m8"]


# -- accounts --

KEY = KeyUsage("key_1", "shop", spent=1_230_000, requests=4, created_s=1_769_286_389, active=True)
CAPPED = KeyUsage(
    *("key_2", "test", 0, 0, 1_769_286_389, False),
    cap=5_000_000,
    cap_period="day",
    cap_spent=10_050,
    cap_started_s=1_769_212_800,
    expires_s=1_800_000_000,
)
ACCOUNT = Account(balance=26_000_000, available=25_500_000, spent=4_500_000, deposited=30_000_000, keys=(KEY, CAPPED))


def test_credits() -> None:
    assert ask("/v1/credits", ACCOUNT) == {
        "remaining_credits": "25.5000",
        "credit_usage": "4.5000",
        "total_deposits": "30.0000",
    }


def test_credits_by_key() -> None:
    body = ask("/v1/credits", ACCOUNT, by_api_key="true")
    assert isinstance(body, dict)
    assert body["usage_by_api_key"] == [
        {
            "api_key_id": "key_1",
            "api_key_name": "shop",
            "credit_usage": "1.2300",
            "total_requests": 4,
            "created_at": "2026-01-24T20:26:29Z",
            "is_active": True,
            "spend_limit": None,
            "spend_limit_period": None,
            "period_spend": "0.0000",
            "period_start": None,
            "expires_at": None,
        },
        {
            "api_key_id": "key_2",
            "api_key_name": "test",
            "credit_usage": "0.0000",
            "total_requests": 0,
            "created_at": "2026-01-24T20:26:29Z",
            "is_active": False,
            "spend_limit": 5.0,
            "spend_limit_period": "day",
            "period_spend": "0.0100",
            "period_start": "2026-01-24T00:00:00Z",
            "expires_at": "2027-01-15T08:00:00Z",
        },
    ]


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_auth(method: str) -> None:
    assert ask("/v1/auth/test", ACCOUNT, method=method) == {"success": True, "credits": 255_000}


def test_a_postpaid_account_has_no_limit() -> None:
    account = Account(balance=None, available=None, spent=0, deposited=0)
    body = ask("/v1/credits", account)
    assert isinstance(body, dict)
    assert body["remaining_credits"] is None
    assert ask("/v1/auth/test", account) == {"success": True, "credits": None}
