"""The canonical request: it is stored as it is, and its marks are told from what clients write."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pictura.core.request import ImageRequest, InputPicture, mark, marked
from pictura.core.size import Size

WHOLE = ImageRequest(
    operation="edit",
    model="gpt-image-2",
    prompt="ein Fuchs 🦊",
    images=(InputPicture(key="in/2026-11-20/job-0.png", media_type="image/png", width=1, height=2, bytes=3),),
    mask=InputPicture(ref="upload:1"),
    n=3,
    size=Size(aspect="16:9", tier="2K"),
    params={"quality": "high", "seed": 7, "strength": 0.5},
    extra={"lora": [{"path": None}]},
    output_format="webp",
    output_compression=80,
    delivery="b64_json",
    user="somebody",
    user_field="user_id",
    words={"quality": {"hd": "high"}},
    unknown="refuse",
    adjustable=frozenset({"size", "quality"}),
    adjusted=("n=9→8",),
    max_prompt_chars=1000,
)


@pytest.mark.parametrize("request_", [WHOLE, ImageRequest(model="m")])
def test_a_request_survives_being_stored(request_: ImageRequest) -> None:
    assert msgspec.json.decode(msgspec.json.encode(request_), type=ImageRequest) == request_


def test_a_stored_request_is_as_short_as_what_was_said() -> None:
    assert msgspec.json.encode(ImageRequest(model="m", prompt="a fox")) == b'{"model":"m","prompt":"a fox"}'


@given(st.integers(0, 999_999_999))
def test_a_mark_is_read_again(index: int) -> None:
    assert marked(mark(index)) == index


@pytest.mark.parametrize("value", ["", "a fox", "pictura-cut:", "pictura-cut:-1", "pictura-cut:01", " pictura-cut:1"])
def test_what_only_looks_like_a_mark(value: str) -> None:
    assert marked(value) is None
    assert marked(value + "\n") is None


@pytest.mark.parametrize("value", [None, 0, ["pictura-cut:0"], {}, b"pictura-cut:0"])
def test_a_mark_is_a_text(value: object) -> None:
    assert marked(value) is None
