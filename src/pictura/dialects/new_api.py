"""What the routers built on new-api have in common: OpenAI's paths and envelope, error words and accounts of their own.

Fields, errors, model lists, billing and prices follow new-api's source (main of 2026-07, read in source); that
QuickRouter and MixRoute are of the family is inferred from their paths, keys and answers.

Not as there: parameter errors are 400 and not 500, an unknown model is 404 and not 503, no error comes with status 200.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar

import msgspec

from pictura.core.errors import PicturaError
from pictura.core.model import ModelCard
from pictura.core.money import dollars, per_million
from pictura.core.picture import Inline
from pictura.core.price import Order, PerToken, quote
from pictura.core.request import Body, ImageRequest
from pictura.core.result import Delivered, ImageResult
from pictura.core.size import Size
from pictura.core.views import Account, Call, KeyUsage, ModelView
from pictura.dialects import chinese
from pictura.dialects.base import (
    Dialect,
    ErrorRow,
    Event,
    Hands,
    Reply,
    Route,
    Verb,
    delivered,
    described,
    drawing,
    error_headers,
    result_headers,
)
from pictura.dialects.openai import OpenAI, one_streamed
from pictura.dialects.union import QUALITY_WORDS, decode_union

_OWN = "new_api_error"
_UPSTREAM = "upstream_error"

ERRORS: Mapping[str, ErrorRow] = {
    "caller_error": ErrorRow(400, _OWN, "invalid_request"),
    "invalid_request": ErrorRow(400, _OWN, "invalid_request"),
    "missing_value": ErrorRow(400, _OWN, "invalid_request"),
    "out_of_bounds": ErrorRow(400, _OWN, "invalid_request"),
    "unsupported_value": ErrorRow(400, _OWN, "invalid_request"),
    "too_large": ErrorRow(413, _OWN, "read_request_body_failed"),
    "unsupported_media_type": ErrorRow(415, _OWN, "invalid_request"),
    "request_timeout": ErrorRow(408, _OWN, "read_request_body_failed"),
    "conflict": ErrorRow(409, _OWN, "conflict"),
    "not_found": ErrorRow(404, "invalid_request_error", ""),
    "job_not_found": ErrorRow(404, _OWN, "task_not_exist"),
    "cancelled": ErrorRow(499, _OWN, "task_cancelled"),
    "too_late": ErrorRow(409, _OWN, "task_not_cancellable"),
    "model_not_found": ErrorRow(404, _OWN, "model_not_found"),
    "model_retired": ErrorRow(404, _OWN, "model_not_found"),
    "unauthorized": ErrorRow(401, _OWN, ""),
    "forbidden": ErrorRow(403, _OWN, "access_denied"),
    "insufficient_balance": ErrorRow(403, _OWN, "insufficient_user_quota"),
    "cap_reached": ErrorRow(403, _OWN, "pre_consume_token_quota_failed"),
    "rate_limited": ErrorRow(429, "rate_limit_error", "rate_limit_exceeded"),
    "content_refused": ErrorRow(400, _UPSTREAM, "content_policy_violation"),
    "upstream_error": ErrorRow(502, _UPSTREAM, "bad_response_status_code"),
    "upstream_unreachable": ErrorRow(503, _OWN, "get_channel_failed"),
    "upstream_rejected": ErrorRow(502, _UPSTREAM, "bad_response_status_code"),
    "upstream_throttled": ErrorRow(429, _UPSTREAM, "rate_limit_exceeded"),
    "upstream_failed": ErrorRow(502, _UPSTREAM, "bad_response_status_code"),
    "upstream_lost": ErrorRow(504, _UPSTREAM, "do_request_failed"),
    "upstream_malformed": ErrorRow(502, _UPSTREAM, "bad_response_body"),
    "internal_error": ErrorRow(500, _OWN, ""),
}

#: DALL·E's words for a quality, and what they mean to other models.
WORDS = {"quality": QUALITY_WORDS}
#: What new-api counts money in: so many to a dollar.
QUOTA_PER_DOLLAR = 500_000
#: What it calls a limit where there is none, in dollars.
NO_LIMIT_USD = 100_000_000
#: A model's ratio is 1 at so many dollars for a million tokens.
_DOLLARS_OF_RATIO_1 = "2"
_SQUARE = Size(width=1024, height=1024)
_ENDPOINT = "image-generation"


_OPENAI = OpenAI()


class NewApi(Dialect):
    """Base of the family; each router adds its habits."""

    errors: ClassVar[Mapping[str, ErrorRow]] = ERRORS

    def decode(self, call: Call, body: Body, *, edit: bool) -> ImageRequest:
        return one_streamed(decode_union(call, body, self.habits, edit=edit))

    def picture(self, call: Call, request: ImageRequest, result: ImageResult, hands: Hands) -> Reply:
        """`created` in Unix seconds, and the pictures; nothing more."""
        body: dict[str, object] = {
            "created": result.created_ms // 1000,
            "data": [self.datum(request, picture, hands) for picture in result.pictures],
        }
        return Reply(body, headers={**_named(call), **result_headers(result)})

    def datum(self, request: ImageRequest, picture: Delivered, hands: Hands) -> dict[str, object]:
        shown = delivered(request, picture, hands)
        return {**shown, "revised_prompt": picture.revised_prompt} if picture.revised_prompt else shown

    def event(self, call: Call, request: ImageRequest, result: ImageResult, hands: Hands) -> Sequence[Event]:
        """OpenAI's, and the word that the family ends every stream with."""
        return [*_OPENAI.event(call, request, result, hands), Event("", msgspec.Raw(b"[DONE]"))]

    def preview(self, call: Call, request: ImageRequest, index: int, picture: Inline) -> Event:
        return _OPENAI.preview(call, request, index, picture)

    def error(self, call: Call, error: PicturaError) -> Reply:
        """The request's id stands in the message too, where users of the family look for it."""
        row = self.row(error)
        told = {"message": self.said(call, error), "type": row.type, "param": error.param or "", "code": row.code}
        return Reply({"error": told}, row.status, {**_named(call), **error_headers(error)})

    def said(self, call: Call, error: PicturaError) -> str:
        message = chinese.said(error) if call.chinese else error.message
        return f"{message} (request id: {call.request_id})"

    def models(self, call: Call, views: Sequence[ModelView]) -> Reply:
        return Reply({"success": True, "object": "list", "data": [_model(view) for view in views]})

    def model(self, call: Call, view: ModelView) -> Reply:
        return Reply(_model(view))

    def subscription(self, call: Call, account: Account) -> Reply:
        """Dollars; `access_until` Unix seconds, 0 for ever."""
        key = _asking(account)
        limit = (
            NO_LIMIT_USD if _left(account, key) is None else dollars(_used(account, key) + (_left(account, key) or 0))
        )
        return Reply(
            {
                "object": "billing_subscription",
                "has_payment_method": True,
                "soft_limit_usd": limit,
                "hard_limit_usd": limit,
                "system_hard_limit_usd": limit,
                "access_until": (key and key.expires_s) or 0,
            }
        )

    def usage(self, call: Call, account: Account) -> Reply:
        """`total_usage` in cents; dates in the query are passed over, as there."""
        return Reply({"object": "list", "total_usage": dollars(_used(account, _asking(account)) * 100)})

    def token_usage(self, call: Call, account: Account) -> Reply:
        """In the family's quota, 500,000 to a dollar; what was granted and is left is rounded, the rest is used."""
        key = _asking(account)
        left = _left(account, key)
        granted, available = _quota(_used(account, key) + (left or 0)), _quota(left or 0)
        told = {
            "object": "token_usage",
            "name": key.name if key else "",
            "total_granted": granted,
            "total_used": granted - available,
            "total_available": available,
            "unlimited_quota": left is None,
            "model_limits": dict.fromkeys(key.models if key else (), True),
            "model_limits_enabled": bool(key and key.models),
            "expires_at": (key and key.expires_s) or 0,
        }
        return Reply({"code": True, "message": "ok", "data": told})

    def pricing(self, call: Call, views: Sequence[ModelView]) -> Reply:
        return Reply(
            {
                "success": True,
                "data": [_pricing(view.card) for view in views],
                "vendors": [],
                "group_ratio": {"default": 1},
                "usable_group": {"default": "default"},
                "supported_endpoint": {_ENDPOINT: {"path": "/v1/images/generations", "method": "POST"}},
                "auto_groups": [],
            }
        )

    routes: ClassVar[tuple[Route, ...]] = (
        *drawing("/v1/images/generations"),
        *drawing("/v1/images/edits", edit=True),
        *drawing("/v1/edits", edit=True),
        Route("GET", "/v1/models", Verb.CATALOGUE, models),
        Route("GET", "/v1/models/{id:path}", Verb.MODEL, model),
        Route("GET", "/v1/dashboard/billing/subscription", Verb.ACCOUNT, subscription),
        Route("GET", "/v1/dashboard/billing/usage", Verb.ACCOUNT, usage),
        Route("GET", "/dashboard/billing/subscription", Verb.ACCOUNT, subscription),
        Route("GET", "/dashboard/billing/usage", Verb.ACCOUNT, usage),
        Route("GET", "/api/usage/token/", Verb.ACCOUNT, token_usage),
        Route("GET", "/api/usage/token", Verb.ACCOUNT, token_usage),
        Route("GET", "/api/pricing", Verb.CATALOGUE, pricing, open=True),
    )


def _named(call: Call) -> dict[str, str]:
    """The header in which the family's clients look for the request's id."""
    return {"x-oneapi-request-id": call.request_id}


def _model(view: ModelView) -> dict[str, object]:
    return {
        "id": view.card.id,
        "object": "model",
        "created": view.created_s,
        "owned_by": view.providers[0] if view.providers else "pictura",
        "supported_endpoint_types": [_ENDPOINT],
        **described(view.card),
    }


# -- accounts --


def _asking(account: Account) -> KeyUsage | None:
    return next((key for key in account.keys if key.id == account.asking), None)


def _used(account: Account, key: KeyUsage | None) -> int:
    """Micro-USD: of the key, whose limit counts, else of all the project."""
    return key.cap_spent if key and key.cap is not None else account.spent


def _left(account: Account, key: KeyUsage | None) -> int | None:
    """Micro-USD that may still be spent; None where nothing limits it."""
    limits = [] if account.available is None else [account.available]
    if key and key.cap is not None:
        limits.append(max(0, key.cap - key.cap_spent))
    return min(limits, default=None)


def _quota(micros: int) -> int:
    return micros * QUOTA_PER_DOLLAR // 1_000_000


# -- prices --


def _pricing(card: ModelCard) -> dict[str, object]:
    """`quota_type` 1: dollars for a picture, null where nobody knows; 0: ratios to $2 for a million tokens."""
    told: dict[str, object] = {
        "model_name": card.id,
        "quota_type": 0 if isinstance(card.price, PerToken) else 1,
        "model_ratio": 0,
        "model_price": 0,
        "completion_ratio": 0,
        "enable_groups": ["default"],
        "supported_endpoint_types": [_ENDPOINT],
    }
    if isinstance(card.price, PerToken):
        return {**told, **_ratios(card.price)}
    price = None if card.price is None else dollars(quote(card.price, Order(sizes=(_SQUARE,))))
    return {**told, "model_price": price}


def _ratios(price: PerToken) -> dict[str, object]:
    """Of a token's price to that of a token of text; everything to an input's where text costs nothing."""
    base = price.text_in or price.image_in or price.image_out
    return {
        "model_ratio": base / per_million(_DOLLARS_OF_RATIO_1),
        "completion_ratio": price.image_out / base,
        "image_ratio": price.image_in / base,
    }
