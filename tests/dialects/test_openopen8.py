from __future__ import annotations

import pytest

from pictura.core import errors
from pictura.core.request import ImageRequest
from pictura.core.result import Delivered
from pictura.core.size import Size
from pictura.dialects.openopen8 import OpenOpen8
from pictura.dialects.union import IDLE
from tests.dialects.speaking import CALL, CREATED_S, HERE, complaint, decode, refs, result, upload

DIALECT = OpenOpen8()


def test_the_page_s_first_example() -> None:
    request = decode(
        DIALECT,
        {
            "model": "dall-e-3",
            "prompt": "A photorealistic image of a red panda sitting on a mossy log in a misty forest",
            "n": 1,
            "size": "1024x1024",
            "response_format": "url",
        },
    )
    assert (request.model, request.size) == ("dall-e-3", Size(width=1024, height=1024))
    assert (request.delivery, request.delivery_named) == ("url", True)


def test_the_page_s_edit() -> None:
    fields = {"model": "dall-e-2", "prompt": "Replace the background", "n": "1", "size": "1024x1024"}
    request = decode(DIALECT, fields, upload("image"), upload("mask"), form=True, edit=True)
    assert (request.operation, refs(request), request.n) == ("edit", ["upload:0"], 1)
    assert request.mask is not None
    assert request.mask.ref == "upload:1"


def test_what_the_upstream_may_or_may_not_support() -> None:
    fields = {"background": "transparent", "output_format": "webp", "output_compression": 80, "watermark": True}
    request = decode(DIALECT, {"model": "m", "prompt": "p", **fields})
    assert request.params == {"background": "transparent", "watermark": True}
    assert (request.output_format, request.output_compression) == ("webp", 80)
    assert request.adjustable == IDLE | {"background", "watermark"}
    assert not request.extra


@pytest.mark.parametrize("compression", [0, 100, "50"])
def test_compression_within_its_bounds(compression: object) -> None:
    assert decode(DIALECT, {"model": "m", "output_compression": compression}).output_compression == int(
        str(compression)
    )


@pytest.mark.parametrize("compression", [-1, 101, "fifty"])
def test_compression_beyond_its_bounds(compression: object) -> None:
    assert complaint(DIALECT, {"model": "m", "output_compression": compression}).param == "output_compression"


def test_words_of_dalle_are_carried_for_other_models() -> None:
    request = decode(DIALECT, {"model": "m", "quality": "hd", "style": "vivid"})
    assert (request.params, request.words) == ({"quality": "hd", "style": "vivid"}, {"quality": {"hd": "high"}})


def test_the_answer() -> None:
    pictures = (Delivered(key="a", revised_prompt="a red panda"), Delivered(key="b"))
    assert DIALECT.picture(CALL, ImageRequest(model="dall-e-3"), result(*pictures), HERE).body == {
        "created": CREATED_S,
        "data": [
            {"url": "https://img.example/a", "revised_prompt": "a red panda"},
            {"url": "https://img.example/b"},
        ],
    }


@pytest.mark.parametrize("error", [errors.RateLimited("too fast", retry_after_s=3), errors.Throttled("too fast")])
def test_too_many_requests_have_a_code_in_digits(error: errors.PicturaError) -> None:
    reply = DIALECT.error(CALL, error)
    told = {"message": "too fast (request id: req_1)", "type": "rate_limit_error", "param": "", "code": 429}
    assert (reply.status, reply.body) == (429, {"error": told})


def test_other_errors_are_told_as_the_family_tells_them() -> None:
    body = DIALECT.error(CALL, errors.InsufficientBalance("no")).body
    assert isinstance(body, dict)
    assert body["error"]["code"] == "insufficient_user_quota"


def test_accounts_and_prices_name_it_and_pictures_do_not() -> None:
    own = {route.path for route in DIALECT.routes if route.own}
    assert own == {
        "/v1/dashboard/billing/subscription",
        "/v1/dashboard/billing/usage",
        "/dashboard/billing/subscription",
        "/dashboard/billing/usage",
        "/api/usage/token",
        "/api/usage/token/",
        "/api/pricing",
    }
