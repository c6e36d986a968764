"""What the family has in common, spoken by a router that adds nothing of its own."""

from __future__ import annotations

import pytest

from pictura.core import errors
from pictura.core.errors import PicturaError
from pictura.core.job import JobState
from pictura.core.model import ModelCard, Source
from pictura.core.price import Free, PerMegapixel, PerPicture, PerToken, Price, PriceList, Row, TokenList
from pictura.core.request import ImageRequest
from pictura.core.result import Delivered
from pictura.core.views import Account, JobView, KeyUsage, ModelView
from pictura.dialects.base import described
from pictura.dialects.new_api import NewApi
from tests.dialects.speaking import (
    BASE64,
    CALL,
    CHINESE,
    CREATED_MS,
    CREATED_S,
    HERE,
    answered,
    as_sent,
    complaint,
    decode,
    paths,
    result,
    upload,
)


class Router(NewApi):
    """The family, and nothing more."""

    name = "router"


DIALECT = Router()
SOURCE = Source("a test", "2026-11")
REQUEST = ImageRequest(model="m", prompt="a fox")
BOTH = result(Delivered(key="a"), Delivered(key="b", revised_prompt="a red fox"))


# -- drawing --


def test_defaults() -> None:
    request = decode(DIALECT, {"model": "gpt-image-2", "prompt": "a fox", "colour": "red"})
    assert (request.delivery, request.output_format, request.n) == ("url", "", 1)
    assert (request.unknown, request.extra, request.adjustable) == ("ignore", {"colour": "red"}, frozenset())


@pytest.mark.parametrize("place", ["generations", "edits"])
def test_places_where_pictures_are_asked_for(place: str) -> None:
    assert f"/v1/images/{place}" in paths(DIALECT, "POST")
    for method in ("GET", "DELETE"):
        assert f"/v1/images/{place}/{{id}}" in paths(DIALECT, method)


def test_the_old_place_of_edits() -> None:
    (route,) = (route for route in DIALECT.routes if (route.method, route.path) == ("POST", "/v1/edits"))
    assert route.edit


def test_a_stream_is_of_one_picture() -> None:
    assert complaint(DIALECT, {"model": "m", "n": 2, "stream": True}).param == "n"
    assert decode(DIALECT, {"model": "m", "stream": True}).stream


def test_an_edit_needs_a_picture() -> None:
    assert complaint(DIALECT, {"model": "m", "prompt": "a fox"}, edit=True).param == "image"
    fields = {"model": "m", "prompt": "a fox"}
    assert decode(DIALECT, fields, upload("image"), form=True, edit=True).operation == "edit"


def test_the_answer() -> None:
    reply = DIALECT.picture(CALL, REQUEST, BOTH, HERE)
    assert reply.body == {
        "created": CREATED_S,
        "data": [
            {"url": "https://img.example/a"},
            {"url": "https://img.example/b", "revised_prompt": "a red fox"},
        ],
    }
    assert reply.headers == {"x-oneapi-request-id": "req_1"}


def test_the_answer_in_base64() -> None:
    request = ImageRequest(model="m", delivery="b64_json")
    reply = DIALECT.picture(CALL, request, result(Delivered(key="a")), HERE)
    assert as_sent(reply.body) == {"created": CREATED_S, "data": [{"b64_json": BASE64}]}


def test_what_was_not_as_asked_is_in_the_headers() -> None:
    reply = DIALECT.picture(CALL, REQUEST, result(Delivered(), ignored=("colour",), short="1 of 2 came"), HERE)
    told = {"x-pictura-ignored": "colour", "x-pictura-short": "1 of 2 came"}
    assert reply.headers == {"x-oneapi-request-id": "req_1", **told}


# -- errors --


@pytest.mark.parametrize(
    ("error", "status", "kind", "code"),
    [
        (errors.BadRequest("no", param="n"), 400, "new_api_error", "invalid_request"),
        (errors.Unsupported("no", param="size"), 400, "new_api_error", "invalid_request"),
        (errors.TooLarge("no"), 413, "new_api_error", "read_request_body_failed"),
        (errors.WrongMediaType("no"), 415, "new_api_error", "invalid_request"),
        (errors.TooSlow("no"), 408, "new_api_error", "read_request_body_failed"),
        (errors.NotFound("no"), 404, "invalid_request_error", ""),
        (errors.UnknownJob("no"), 404, "new_api_error", "task_not_exist"),
        (errors.UnknownModel("no", param="model"), 404, "new_api_error", "model_not_found"),
        (errors.RetiredModel("no", successor="gpt-image-2"), 404, "new_api_error", "model_not_found"),
        (errors.Unauthorized("no"), 401, "new_api_error", ""),
        (errors.Forbidden("no"), 403, "new_api_error", "access_denied"),
        (errors.InsufficientBalance("no"), 403, "new_api_error", "insufficient_user_quota"),
        (errors.CapReached("no"), 403, "new_api_error", "pre_consume_token_quota_failed"),
        (errors.RateLimited("no"), 429, "rate_limit_error", "rate_limit_exceeded"),
        (errors.Refused("no"), 400, "upstream_error", "content_policy_violation"),
        (errors.NotSent("no"), 503, "new_api_error", "get_channel_failed"),
        (errors.Rejected("no"), 502, "upstream_error", "bad_response_status_code"),
        (errors.Throttled("no"), 429, "upstream_error", "rate_limit_exceeded"),
        (errors.Failed("no"), 502, "upstream_error", "bad_response_status_code"),
        (errors.Lost("no"), 504, "upstream_error", "do_request_failed"),
        (errors.Malformed("no"), 502, "upstream_error", "bad_response_body"),
        (errors.HouseError("no"), 500, "new_api_error", ""),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, PicturaError) else None,
)
def test_errors(error: PicturaError, status: int, kind: str, code: str) -> None:
    reply = DIALECT.error(CALL, error)
    told = {"message": "no (request id: req_1)", "type": kind, "param": error.param or "", "code": code}
    assert (reply.status, reply.body) == (status, {"error": told})
    assert reply.headers["x-oneapi-request-id"] == "req_1"


def test_when_to_come_back_and_when_not() -> None:
    assert DIALECT.error(CALL, errors.RateLimited("no", retry_after_s=7)).headers["retry-after"] == "7"
    assert DIALECT.error(CALL, errors.Lost("no")).headers["x-should-retry"] == "false"
    assert DIALECT.error(CALL, errors.CapReached("no")).headers["x-should-retry"] == "false"


def test_an_error_in_chinese() -> None:
    body = DIALECT.error(CHINESE, errors.RateLimited("too fast", retry_after_s=7)).body
    assert isinstance(body, dict)
    assert body["error"]["message"] == "请求过于频繁：请在 7 秒后重试 (request id: req_1)"
    assert body["error"]["code"] == "rate_limit_exceeded"


def test_a_task_that_failed_says_why_in_two_places() -> None:
    job = JobView("job_1", "studio", JobState.FAILED, REQUEST, CREATED_MS, error=errors.Malformed("no picture"))
    assert DIALECT.task(CALL, job, HERE).body == {
        "id": "job_1",
        "task_id": "job_1",
        "object": "image.task",
        "status": "failed",
        "error": {
            "message": "no picture (request id: req_1)",
            "type": "upstream_error",
            "param": "",
            "code": "bad_response_body",
        },
        "message": "no picture (request id: req_1)",
    }


# -- models and their prices --


def test_models() -> None:
    card = ModelCard(id="gpt-image-2", source=SOURCE)
    views = [ModelView(card, ("openai", "fal"), 3, 1_776_729_600), ModelView(card, (), 0, 0)]
    told = {
        "id": "gpt-image-2",
        "object": "model",
        "created": 1_776_729_600,
        "owned_by": "openai",
        "supported_endpoint_types": ["image-generation"],
        **described(card),
    }
    listed = [told, {**told, "created": 0, "owned_by": "pictura"}]
    assert answered(DIALECT, "/v1/models", views) == {"success": True, "object": "list", "data": listed}
    assert answered(DIALECT, "/v1/models/{id:path}", views[0]) == told


#: Those of gpt-image-1: $5 for a million tokens of text, $10 of a picture sent, $40 of a picture drawn.
TOKENS = PerToken(text_in=5_000, image_in=10_000, image_out=40_000, output=TokenList((Row(1_000),)))


@pytest.mark.parametrize(
    ("price", "told"),
    [
        (TOKENS, {"quota_type": 0, "model_ratio": 2.5, "completion_ratio": 8.0, "image_ratio": 2.0}),
        (PerPicture(40_000), {"quota_type": 1, "model_price": 0.04}),
        (PerMegapixel(30_000, 15_000), {"quota_type": 1, "model_price": 0.03}),
        (PriceList((Row(240_000, size="4K"), Row(134_000, size="1K"))), {"quota_type": 1, "model_price": 0.134}),
        (Free(), {"quota_type": 1, "model_price": 0}),
        (None, {"quota_type": 1, "model_price": None}),
    ],
    ids=lambda value: type(value).__name__,
)
def test_prices(price: Price | None, told: dict[str, object]) -> None:
    """A ratio of 1 is $2 for a million tokens, as the family counts."""
    body = answered(DIALECT, "/api/pricing", [ModelView(ModelCard(id="m", price=price, source=SOURCE), (), 0, 0)])
    assert isinstance(body, dict)
    usual = {"model_name": "m", "model_ratio": 0, "model_price": 0, "completion_ratio": 0}
    groups = {"enable_groups": ["default"], "supported_endpoint_types": ["image-generation"]}
    assert body["data"] == [{**usual, **groups, **told}]
    assert (body["success"], body["group_ratio"]) == (True, {"default": 1})


def test_ratios_where_text_costs_nothing() -> None:
    price = PerToken(text_in=0, image_in=0, image_out=30_000, output=TokenList((Row(1_000),)))
    body = answered(DIALECT, "/api/pricing", [ModelView(ModelCard(id="m", price=price, source=SOURCE), (), 0, 0)])
    assert isinstance(body, dict)
    (told,) = body["data"]
    assert (told["model_ratio"], told["completion_ratio"], told["image_ratio"]) == (15.0, 1.0, 0.0)


def test_prices_are_open() -> None:
    assert [route.path for route in DIALECT.routes if route.open] == ["/api/pricing"]


# -- accounts: dollars there, cents here, quota elsewhere --

KEY = KeyUsage("key_1", "shop", spent=2_000_000, requests=4, created_s=CREATED_S, active=True)
CAPPED = KeyUsage(
    *("key_2", "test", 900_000, 4, CREATED_S, True),
    cap=5_000_000,
    cap_spent=750_000,
    expires_s=1_800_000_000,
    models=("gpt-image-2", "dall-*"),
)


def account(asking: str, available: int | None = 10_000_000) -> Account:
    return Account(
        balance=available, available=available, spent=4_500_000, deposited=15_000_000, keys=(KEY, CAPPED), asking=asking
    )


def limits(view: Account) -> tuple[object, object]:
    """Of the subscription: the limit in dollars, and until when."""
    body = answered(DIALECT, "/v1/dashboard/billing/subscription", view)
    assert isinstance(body, dict)
    assert (body["object"], body["has_payment_method"]) == ("billing_subscription", True)
    assert body["soft_limit_usd"] == body["hard_limit_usd"] == body["system_hard_limit_usd"]
    return body["hard_limit_usd"], body["access_until"]


def test_subscription() -> None:
    """The limit is what was spent and what is left: of the project, or of the key where that is less."""
    assert limits(account("key_1")) == (14.5, 0)
    assert limits(account("key_2")) == (5.0, 1_800_000_000)
    assert limits(account("key_2", available=1_000_000)) == (1.75, 1_800_000_000)
    assert limits(account("key_1", available=None)) == (100_000_000, 0)
    assert limits(account("key_2", available=None)) == (5.0, 1_800_000_000)


@pytest.mark.parametrize("start", ["/v1/dashboard/billing", "/dashboard/billing"])
def test_usage(start: str) -> None:
    assert answered(DIALECT, f"{start}/usage", account("key_1"), start_date="2026-01-01", end_date="2026-12-31") == {
        "object": "list",
        "total_usage": 450,
    }
    assert answered(DIALECT, f"{start}/usage", account("key_2")) == {"object": "list", "total_usage": 75}
    assert f"{start}/subscription" in paths(DIALECT, "GET")


@pytest.mark.parametrize("path", ["/api/usage/token", "/api/usage/token/"])
def test_usage_of_a_key(path: str) -> None:
    body = answered(DIALECT, path, account("key_2"))
    assert body == {
        "code": True,
        "message": "ok",
        "data": {
            "object": "token_usage",
            "name": "test",
            "total_granted": 2_500_000,
            "total_used": 375_000,
            "total_available": 2_125_000,
            "unlimited_quota": False,
            "model_limits": {"gpt-image-2": True, "dall-*": True},
            "model_limits_enabled": True,
            "expires_at": 1_800_000_000,
        },
    }


@pytest.mark.parametrize("spent", [0, 1, 40_001, 9_999_999])
def test_whole_dollars_are_whole(spent: int) -> None:
    """A quota is two micro-dollars: neither of two odd halves is lost."""
    left = 10_000_000 - spent
    view = Account(balance=left, available=left, spent=spent, deposited=10_000_000, keys=(KEY,), asking="key_1")
    body = answered(DIALECT, "/api/usage/token/", view)
    assert isinstance(body, dict)
    told = body["data"]
    assert told["total_granted"] == 5_000_000 == told["total_used"] + told["total_available"]
    assert told["total_available"] == left // 2


def test_usage_of_a_key_that_nothing_limits() -> None:
    body = answered(DIALECT, "/api/usage/token/", account("key_1", available=None))
    assert isinstance(body, dict)
    told = body["data"]
    assert (told["unlimited_quota"], told["total_available"], told["total_used"]) == (True, 0, 2_250_000)
    assert (told["model_limits"], told["model_limits_enabled"], told["expires_at"]) == ({}, False, 0)


def test_a_cap_that_was_overdrawn_leaves_nothing() -> None:
    key = KeyUsage("key_3", "x", 9, 1, 1, True, cap=1_000_000, cap_spent=1_500_000)
    body = answered(DIALECT, "/api/usage/token/", Account(None, None, 9, 9, (key,), "key_3"))
    assert isinstance(body, dict)
    assert (body["data"]["total_available"], body["data"]["total_used"]) == (0, 750_000)
