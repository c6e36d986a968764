from __future__ import annotations

import pytest

from pictura.core.errors import Unsupported
from pictura.core.request import ImageRequest
from pictura.core.result import Delivered
from pictura.core.size import Size
from pictura.dialects.quickrouter import QuickRouter
from tests.dialects.speaking import CALL, CREATED_S, HERE, complaint, decode, result, upload

DIALECT = QuickRouter()
#: The page's enumeration.
NINE = ("21:9", "16:9", "4:3", "3:2", "1:1", "2:3", "3:4", "9:16", "9:21")


def test_the_page_s_example_without_an_aspect() -> None:
    fields = {"model": "flux-1", "prompt": "a beautiful sunset over the ocean", "n": 1, "size": "1024x1024"}
    request = decode(DIALECT, fields)
    assert (request.size, request.n, request.delivery) == (Size(width=1024, height=1024), 1, "url")


def test_the_fields_of_its_table() -> None:
    fields = {"model": "gpt-image-1.5", "prompt": "p", "quality": "hd", "style": "natural", "user": "u", "n": "10"}
    request = decode(DIALECT, fields)
    assert (request.params, request.user, request.n) == ({"quality": "hd", "style": "natural"}, "u", 10)
    assert request.words == {"quality": {"hd": "high"}}
    assert not request.extra


@pytest.mark.parametrize("n", [0, 11, "11", -1])
def test_one_to_ten_pictures(n: object) -> None:
    assert complaint(DIALECT, {"model": "flux-1", "prompt": "p", "n": n}).message.startswith(
        "n must be an integer from 1 to 10"
    )


@pytest.mark.parametrize("model", ["flux-1", "flux-kontext-pro", "black-forest-labs/FLUX.1-Kontext"])
@pytest.mark.parametrize("aspect", NINE)
def test_the_nine_aspects_of_flux(model: str, aspect: str) -> None:
    assert decode(DIALECT, {"model": model, "prompt": "p", "aspect_ratio": aspect}).size == Size(aspect=aspect)


@pytest.mark.parametrize("aspect", ["5:4", "4:5", "1:2", "22:9", "9:22"])
def test_no_other_aspects_for_flux(aspect: str) -> None:
    error = complaint(DIALECT, {"model": "flux-kontext-max", "prompt": "p", "aspect_ratio": aspect})
    assert isinstance(error, Unsupported)
    assert (error.param, error.allowed) == ("aspect_ratio", NINE)
    assert aspect in error.message
    assert ", ".join(NINE) in error.message


def test_other_models_have_aspects_of_their_own() -> None:
    assert decode(DIALECT, {"model": "gemini-2.5-flash-image", "aspect_ratio": "4:5"}).size == Size(aspect="4:5")


def test_the_page_s_sample_request_is_an_answer() -> None:
    """As its curl, JavaScript, Java, … examples send it."""
    sample = {"created": 1589478378, "data": [{"url": "https://..."}, {"url": "https://..."}]}
    error = complaint(DIALECT, sample)
    assert error.message.startswith("this is an answer, not a request")
    assert '"model": "flux-kontext-pro"' in error.message
    assert "model is required" in complaint(DIALECT, {**sample, "prompt": "p"}).message
    assert "model is required" in complaint(DIALECT, sample, form=True).message


def test_no_model() -> None:
    assert "e.g. flux-kontext-pro" in complaint(DIALECT, {"prompt": "p"}).message


def test_an_edit_in_a_form() -> None:
    fields = {"model": "gpt-image-1.5", "prompt": "p", "n": "2", "response_format": "b64_json"}
    request = decode(DIALECT, fields, upload("image"), upload("mask"), form=True, edit=True)
    assert (request.operation, request.n, request.delivery) == ("edit", 2, "b64_json")
    assert request.mask is not None


def test_the_answer_has_nothing_but_what_the_page_shows() -> None:
    reply = DIALECT.picture(CALL, ImageRequest(model="flux-1"), result(Delivered(key="a"), Delivered(key="b")), HERE)
    urls = [{"url": "https://img.example/a"}, {"url": "https://img.example/b"}]
    assert reply.body == {"created": CREATED_S, "data": urls}
