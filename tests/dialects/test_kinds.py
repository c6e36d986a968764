from __future__ import annotations

import pytest

from pictura.core.errors import BadRequest, Unsupported
from pictura.core.request import InputPicture
from pictura.dialects import kinds
from pictura.dialects.kinds import Reader


@pytest.mark.parametrize(
    ("read", "sent", "value"),
    [
        (kinds.text, " a ", " a "),
        (kinds.word, " a ", "a"),
        (kinds.integer, "+12", 12),
        (kinds.integer, 3.0, 3),
        (kinds.number, "0.5", 0.5),
        (kinds.number, 2, 2),
        (kinds.flag, "TRUE", True),
        (kinds.flag, False, False),
        (kinds.anything, {"a": [None]}, {"a": [None]}),
        (kinds.delivery, "b64_json", "b64_json"),
        (kinds.picture_format, "image/JPG", "jpeg"),
        (kinds.picture_format, "image/svg+xml", "svg"),
        (kinds.picture_format, "auto", ""),
        (kinds.modalities, "image", None),
        (kinds.modalities, "text,image", ["IMAGE", "TEXT"]),
        (kinds.modalities, ["Text", "Image"], ["IMAGE", "TEXT"]),
        (kinds.within(0, 3), "3", 3),
    ],
)
def test_what_is_read(read: Reader[object], sent: object, value: object) -> None:
    assert read(sent, "field") == value


@pytest.mark.parametrize(
    ("read", "sent", "message"),
    [
        (kinds.text, 1, "field must be text, not 1"),
        (kinds.integer, "٣", "field must be an integer, not '٣'"),
        (kinds.number, "１.５", "field must be a number, not '１.５'"),
        (kinds.integer, True, "field must be an integer, not true"),
        (kinds.integer, 1.5, "field must be an integer, not 1.5"),
        (kinds.number, "1e3", "field must be a number, not '1e3'"),
        (kinds.flag, 0, "field must be true or false, not 0"),
        (kinds.flag, {}, "field must be true or false, not an object"),
        (kinds.within(0, 3), 4, "field must be an integer from 0 to 3, not 4"),
        (kinds.within(0, 3), "two", "field must be an integer from 0 to 3, not 'two'"),
        (kinds.word, InputPicture(ref="upload:0"), "field must be text, not a picture"),
        (kinds.word, ["x"], "field must be text, not a list"),
        (kinds.finite, float("nan"), "field must be a number of less than 19 digits"),
        (kinds.finite, -(10**400), "field must be a number of less than 19 digits"),
        (kinds.anything, [InputPicture()], "a picture stands in field, where none is taken; send it as image or mask"),
    ],
)
def test_what_is_refused(read: Reader[object], sent: object, message: str) -> None:
    with pytest.raises(BadRequest) as caught:
        read(sent, "field")
    assert caught.value.message == message
    assert caught.value.param == "field"


def test_a_choice_names_what_is_allowed() -> None:
    with pytest.raises(Unsupported) as caught:
        kinds.delivery("base64", "response_format")
    assert caught.value.allowed == ("url", "b64_json", "b64_ephemeral")
    assert caught.value.message == "response_format must be one of url, b64_json, b64_ephemeral, not 'base64'"


def test_a_long_value_is_shown_shortened() -> None:
    assert len(kinds.shown("x" * 100_000)) == 60
