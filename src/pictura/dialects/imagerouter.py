"""ImageRouter's API, https://docs.imagerouter.io.

Fields, defaults and answers follow its skill page (2026-02, documented); model filters, errors and the units of credits
its public backend (2026-02, read in source); `/v2/models` and key limits its documentation (2026-11). The answer of
popular models is written down nowhere: its web framework would say `{"json": […]}` (inferred).

Not as at ImageRouter: errors after validation carry their own status and not 200, `n` counts, and pictures are taken
from JSON too. As there, nothing streams: `stream` is ignored, which is told, and the answer is plain JSON.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from decimal import Decimal

from pictura.core.errors import InsufficientBalance, PicturaError, UnknownModel
from pictura.core.model import Choice, ModelCard
from pictura.core.money import dollars
from pictura.core.price import Free, Order, PerPicture, PerToken, PriceList, bill
from pictura.core.request import Body, ImageRequest
from pictura.core.result import ImageResult
from pictura.core.size import ListedPixels, OwnSize, Size, allowed
from pictura.core.views import Account, Call, KeyUsage, ModelView
from pictura.dialects.base import (
    Dialect,
    ErrorRow,
    Habits,
    Hands,
    Limits,
    Reply,
    Route,
    Verb,
    delivered,
    drawing,
    error_headers,
    result_headers,
)
from pictura.dialects.union import IDLE, QUALITY_WORDS, decode_union, unstreamed

_WRONG = "invalid_request_error"
_INTERNAL = "internal_error"

#: Where the real one writes its error under status 200, the type is kept and the status is the true one.
ERRORS = {
    "caller_error": ErrorRow(400, _WRONG),
    "invalid_request": ErrorRow(400, _WRONG),
    "missing_value": ErrorRow(400, _WRONG),
    "out_of_bounds": ErrorRow(400, _WRONG),
    "unsupported_value": ErrorRow(400, _WRONG),
    "too_large": ErrorRow(413, _WRONG),
    "unsupported_media_type": ErrorRow(415, _WRONG),
    "request_timeout": ErrorRow(408, _WRONG),
    "conflict": ErrorRow(409, _WRONG),
    "not_found": ErrorRow(404, _WRONG),
    "job_not_found": ErrorRow(404, _WRONG),
    "cancelled": ErrorRow(499, "request_cancelled"),
    "too_late": ErrorRow(409, "too_late"),
    "model_not_found": ErrorRow(400, _WRONG),
    "model_retired": ErrorRow(400, _WRONG),
    "unauthorized": ErrorRow(401, "unauthorized"),
    "forbidden": ErrorRow(403, "access_denied"),
    "insufficient_balance": ErrorRow(402, _INTERNAL),
    "cap_reached": ErrorRow(402, _INTERNAL),
    "rate_limited": ErrorRow(429, "rate_limit_error"),
    "content_refused": ErrorRow(400, "request_moderated"),
    "upstream_error": ErrorRow(502, _INTERNAL),
    "upstream_unreachable": ErrorRow(503, _INTERNAL),
    "upstream_rejected": ErrorRow(502, _INTERNAL),
    "upstream_throttled": ErrorRow(429, "rate_limit_error"),
    "upstream_failed": ErrorRow(502, _INTERNAL),
    "upstream_lost": ErrorRow(504, "timeout_error"),
    "upstream_malformed": ErrorRow(502, _INTERNAL),
    "internal_error": ErrorRow(500, _INTERNAL),
}

#: How many models `get-popular-models` names.
POPULAR = 10
_SQUARE = Size(width=1024, height=1024)


class ImageRouter(Dialect):
    """One path for drawing and editing, JSON or multipart; URLs in WebP; open model lists."""

    name = "imagerouter"
    hosts = ("api.imagerouter.io", "backend.imagerouter.io", "imagerouter.io")
    errors = ERRORS
    habits = Habits(
        delivery="url",
        output_format="webp",
        unknown="ignore",
        words={"quality": QUALITY_WORDS},
        # The real one turns pixels into the nearest aspect and tier, and drops a quality where a model has none.
        adjustable=IDLE | {"size", "quality"},
        limits=Limits(prompt_chars=10_000),
        bare_edits=True,
        no_model="'model' is a required parameter",
    )

    def decode(self, call: Call, body: Body, *, edit: bool) -> ImageRequest:
        return unstreamed(decode_union(call, body, self.habits, edit=edit))

    def picture(self, call: Call, request: ImageRequest, result: ImageResult, hands: Hands) -> Reply:
        """`created` in Unix milliseconds, `latency` in milliseconds, `cost` in dollars, null where unknown."""
        body = {
            "created": self.moment(result.created_ms),
            "data": [
                {**delivered(request, picture, hands), "revised_prompt": picture.revised_prompt or None}
                for picture in result.pictures
            ],
            "latency": result.latency_ms,
            "cost": None if result.cost is None else dollars(result.cost),
        }
        return Reply(body, headers=result_headers(result))

    def moment(self, unix_ms: int) -> int:
        """Milliseconds."""
        return unix_ms

    def error(self, call: Call, error: PicturaError) -> Reply:
        row = self.row(error)
        told: dict[str, object] = {"message": error.message, "type": row.type, "request_id": call.request_id}
        status = row.status
        if isinstance(error, InsufficientBalance):
            told["message"] = f"Insufficient credits: {error.message}"
        if isinstance(error, UnknownModel) and call.method == "GET":
            told |= {"param": "model", "code": "model_not_found"}
            status = 404
        return Reply({"error": told}, status, error_headers(error))

    def models(self, call: Call, views: Sequence[ModelView]) -> Reply:
        return Reply({view.card.id: _listing(view) for view in _chosen(views, call.query, output="type")})

    def registry(self, call: Call, views: Sequence[ModelView]) -> Reply:
        return Reply({view.card.id: _entry(view) for view in views})

    def model(self, call: Call, view: ModelView) -> Reply:
        return Reply(_entry(view))

    def models_v2(self, call: Call, views: Sequence[ModelView]) -> Reply:
        """`inputType` keeps what takes such an input, `fields` (with commas) what is told of each."""
        wanted = call.query.get("inputType", "")
        fields = set(call.query.get("fields", "").split(",")) - {""}
        chosen = _chosen(views, call.query, output="outputType")
        entries = [_entry_v2(view) for view in chosen if not wanted or _inputs(view.card).get(wanted)]
        if fields:
            entries = [{name: value for name, value in entry.items() if name in {"id", *fields}} for entry in entries]
        return Reply(entries)

    def model_v2(self, call: Call, view: ModelView) -> Reply:
        return Reply(_entry_v2(view))

    def popular(self, call: Call, views: Sequence[ModelView]) -> Reply:
        """The ten most used; before there is any use, the first of the catalogue."""
        ten = sorted(views, key=lambda view: -view.uses)[:POPULAR]
        return Reply({"json": [{"id": view.card.id, "name": view.card.id, "count": view.uses} for view in ten]})

    def credits(self, call: Call, account: Account) -> Reply:
        """Dollars as texts of four decimals; `remaining_credits` is null where there is no limit."""
        body: dict[str, object] = {
            "remaining_credits": None if account.available is None else _credits(account.available),
            "credit_usage": _credits(account.spent),
            "total_deposits": _credits(account.deposited),
        }
        if call.query.get("by_api_key") == "true":
            body["usage_by_api_key"] = [_key_usage(key) for key in account.keys]
        return Reply(body)

    def auth_test(self, call: Call, account: Account) -> Reply:
        """`credits` in units of 0.0001 dollars; null where there is no limit."""
        return Reply({"success": True, "credits": None if account.available is None else account.available // 100})

    routes = (
        *drawing("/v1/openai/images/generations", own=True),
        *drawing("/v1/openai/images/edits", edit=True, own=True),
        *drawing("/v1/images/generations"),
        *drawing("/v1/images/edits", edit=True),
        Route("GET", "/v1/openai/images/models", Verb.CATALOGUE, registry, open=True, own=True),
        Route("GET", "/v1/models", Verb.CATALOGUE, models, open=True),
        Route("GET", "/v1/models/{id:path}", Verb.MODEL, model, open=True),
        Route("GET", "/v2/models", Verb.CATALOGUE, models_v2, open=True, own=True),
        Route("GET", "/v2/models/{id:path}", Verb.MODEL, model_v2, open=True, own=True),
        Route("POST", "/operations/get-popular-models", Verb.CATALOGUE, popular, open=True, own=True),
        Route("GET", "/v1/credits", Verb.ACCOUNT, credits, own=True),
        Route("POST", "/v1/auth/test", Verb.ACCOUNT, auth_test, own=True),
        Route("GET", "/v1/auth/test", Verb.ACCOUNT, auth_test, own=True),
    )


# -- model lists --


def _chosen(views: Sequence[ModelView], query: Mapping[str, str], *, output: str) -> list[ModelView]:
    """Filtered, sorted and cut as the query says; what it says in words unknown is passed over, as at ImageRouter.

    `output` is the field that asks for a kind of output.
    """
    chosen = [view for view in views if query.get(output, "") in ("", "image") and _matches(view, query)]
    order, limit = query.get("sort", ""), query.get("limit", "")
    if order in _ORDERS:
        chosen.sort(key=_ORDERS[order], reverse=order == "date")
    return chosen[: int(limit)] if limit.isascii() and limit.isdecimal() and len(limit) < 10 else chosen


def _matches(view: ModelView, query: Mapping[str, str]) -> bool:
    """`name` is part of an id or alias, `provider` of a vendor, in any case; `free` is true or false."""
    name, provider, free = (query.get(field, "").lower() for field in ("name", "provider", "free"))
    return (
        any(name in known.lower() for known in view.card.names)
        and (not provider or any(provider in vendor for vendor in _vendors(view)))
        and (free not in ("true", "false") or (_costs(view.card)[:1] == [0]) is (free == "true"))
    )


def _vendors(view: ModelView) -> list[str]:
    """Before the slash of its id stands who made a model; the rest are those who serve it."""
    maker, slash, _ = view.card.id.partition("/")
    return [name.lower() for name in ((maker,) if slash else ()) + view.providers]


def _costs(card: ModelCard) -> list[int]:
    """What one picture of 1024x1024 may cost, cheapest first, micro-USD; of any size where the sizes have prices."""
    if card.price is None:
        return []
    if isinstance(card.price, PriceList):
        return sorted({row.amount for row in card.price.rows})
    quality = card.params.get("quality")
    words = [word for word in quality.values if word != "auto"] if isinstance(quality, Choice) else [""]
    return sorted({bill(card.price, Order(sizes=(_SQUARE,), quality=word)) for word in words})


def _typical(card: ModelCard) -> float:
    """The middle one of its costs; a model without a price comes last."""
    costs = _costs(card)
    return costs[len(costs) // 2] if costs else math.inf


_ORDERS: Mapping[str, Callable[[ModelView], tuple[float, str]]] = {
    "name": lambda view: (0, view.card.id.lower()),
    "provider": lambda view: (0, " ".join(_vendors(view))),
    "price": lambda view: (_typical(view.card), ""),
    "date": lambda view: (0, view.card.released),
}


def _range(card: ModelCard) -> dict[str, float] | None:
    costs = [dollars(cost) for cost in _costs(card)]
    return {"min": costs[0], "average": costs[len(costs) // 2], "max": costs[-1]} if costs else None


def _pricing(card: ModelCard) -> dict[str, object] | None:
    """`fixed` says a value; a price by size, quality or tokens (`post_generation`: known afterwards) says its range."""
    if isinstance(card.price, Free | PerPicture):
        return {"type": "fixed", "value": dollars(_costs(card)[0])}
    kind = "post_generation" if isinstance(card.price, PerToken) else "calculated"
    return {"type": kind, "range": _range(card)} if card.price else None


def _sizes(card: ModelCard) -> list[str] | None:
    """The sizes to choose from; None where any size may be asked for."""
    return list(allowed(card.sizes)) if isinstance(card.sizes, ListedPixels | OwnSize) else None


def _inputs(card: ModelCard) -> dict[str, object]:
    return {
        "image": bool(card.inputs.count),
        "mask": card.mask is not None,
        "quality": "quality" in card.params,
        "size": not isinstance(card.sizes, OwnSize) and (_sizes(card) or True),
    }


def _common(view: ModelView) -> dict[str, object]:
    card = view.card
    sizes = _sizes(card)
    return {
        "providers": [
            {"id": provider, "model_name": card.native or card.id, "pricing": _pricing(card)}
            for provider in view.providers
        ],
        "release_date": card.released,
        **({} if sizes is None else {"sizes": sizes}),
        "output": ["image"],
    }


def _listing(view: ModelView) -> dict[str, object]:
    """As `/v1/models` shows it."""
    takes = _inputs(view.card)
    return {
        **_common(view),
        "supported_params": {"mask": takes["mask"], "quality": takes["quality"], "edit": takes["image"]},
    }


def _entry(view: ModelView) -> dict[str, object]:
    """As the registry has it."""
    return {**_common(view), "inputs": _inputs(view.card)}


def _entry_v2(view: ModelView) -> dict[str, object]:
    card = view.card
    return {
        "id": card.id,
        "name": card.id,
        "aliases": [name for name in card.names if name != card.id],
        "inputs": _inputs(card),
        "output": ["image"],
        "price": _range(card),
        "release_date": card.released,
    }


# -- accounts --


def _key_usage(key: KeyUsage) -> dict[str, object]:
    return {
        "api_key_id": key.id,
        "api_key_name": key.name,
        "credit_usage": _credits(key.spent),
        "total_requests": key.requests,
        "created_at": _moment(key.created_s),
        "is_active": key.active,
        "spend_limit": None if key.cap is None else dollars(key.cap),
        "spend_limit_period": key.cap_period or None,
        "period_spend": _credits(key.cap_spent),
        "period_start": _moment(key.cap_started_s) if key.cap_started_s else None,
        "expires_at": None if key.expires_s is None else _moment(key.expires_s),
    }


def _credits(micros: int) -> str:
    return f"{Decimal(micros) / 1_000_000:.4f}"


def _moment(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
