"""Kinds of values: how a field is read, whether it came as JSON or as the text of a form.

A reader takes what came and the name by which the client knows it, and gives the value or raises BadRequest with that
name. Pictures stand in what came as InputPictures.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import TypeVar

from pictura.core import size
from pictura.core.errors import BadRequest, OutOfBounds, Unsupported
from pictura.core.request import REGIONS, Delivery, InputPicture
from pictura.core.size import Size

Value = TypeVar("Value")
Reader = Callable[[object, str], Value]

_LARGEST = 2**63 - 1
_INTEGER = re.compile(r"\s*[+-]?[0-9]{1,18}\s*")
_NUMBER = re.compile(r"\s*[+-]?[0-9]{1,18}(\.[0-9]{1,18})?\s*")
_SHOWN_CHARACTERS = 60

_DELIVERIES: Mapping[str, Delivery] = {"url": "url", "b64_json": "b64_json", "b64_ephemeral": "b64_ephemeral"}
_FORMATS = ("png", "jpeg", "webp")
_FORMATS_OF_SOME = ("gif", "svg", "avif", "bmp", "tiff", "heic")
_FORMAT_SPELLINGS = {"jpg": "jpeg", "svg+xml": "svg", "tif": "tiff", "auto": ""}


def text(value: object, param: str) -> str:
    if not isinstance(value, str):
        raise wrong(param, "text", value)
    return value


def word(value: object, param: str) -> str:
    return text(value, param).strip()


def integer(value: object, param: str, wanted: str = "an integer") -> int:
    """An integer, or a text or a float that is one: forms know nothing but texts, JSON has one kind of number."""
    if isinstance(value, str) and _INTEGER.fullmatch(value):
        return int(value)
    if isinstance(value, int | float) and not isinstance(value, bool) and int(value) == value:
        return int(value)
    raise wrong(param, wanted, value)


def within(low: int, high: int) -> Reader[int]:
    """A reader of integers from `low` to `high`, both included."""

    wanted = f"an integer from {low} to {high}"

    def read(value: object, param: str) -> int:
        found = integer(value, param, wanted)
        if not low <= found <= high:
            told = f"{param} must be {wanted}, not {shown(found)}"
            raise OutOfBounds(told, param=param, count=found, least=low, most=high)
        return found

    return read


def number(value: object, param: str) -> float:
    if isinstance(value, str) and _NUMBER.fullmatch(value):
        return float(value)
    if isinstance(value, int | float) and not isinstance(value, bool):
        return value
    raise wrong(param, "a number", value)


def flag(value: object, param: str) -> bool:
    said = value.strip().lower() if isinstance(value, str) else value
    if said is True or said == "true":
        return True
    if said is False or said == "false":
        return False
    raise wrong(param, "true or false", value, ("true", "false"))


def anything(value: object, param: str) -> object:
    """Whatever JSON can say, but no picture: nobody would look for one there."""
    if _holds_picture(value):
        raise BadRequest(f"a picture stands in {param}, where none is taken; send it as image or mask", param=param)
    return value


def finite(value: object, param: str) -> object:
    """`value`, unless it is a number that neither a database nor another JSON decoder could hold."""
    if isinstance(value, int | float) and not abs(value) <= _LARGEST:
        raise BadRequest(f"{param} must be a number of less than 19 digits", param=param)
    return value


def sized(value: object, param: str) -> Size:
    return size.parse(text(value, param), param)


def delivery(value: object, param: str) -> Delivery:
    asked = word(value, param)
    if asked not in _DELIVERIES:
        raise _not_among(tuple(_DELIVERIES), asked, param)
    return _DELIVERIES[asked]


def picture_format(value: object, param: str) -> str:
    """A format's one name, from `jpg`, `PNG` or `image/webp`. Whether the model has it, the card says."""
    asked = word(value, param).lower().removeprefix("image/")
    asked = _FORMAT_SPELLINGS.get(asked, asked)
    if asked and asked not in (*_FORMATS, *_FORMATS_OF_SOME):
        raise _not_among(_FORMATS, asked, param)
    return asked


def region(value: object, param: str) -> str:
    """Where reference URLs lie, in the words of OmniRouters and Tencent VOD's `InputRegion` (official SDK)."""
    asked = word(value, param)
    if asked not in REGIONS:
        raise _not_among(REGIONS, asked, param)
    return asked


def modalities(value: object, param: str) -> list[str] | None:
    """Kinds of answer, from `"image"` or `["TEXT", "IMAGE"]`; None where it says no more than that a picture comes."""
    words = value if isinstance(value, list) else re.split(r"[^A-Za-z]+", text(value, param))
    kinds = sorted({word(item, param).upper() for item in words} - {""})
    if "IMAGE" not in kinds:
        raise _not_among(("IMAGE", "TEXT and IMAGE"), value, param)
    return None if kinds == ["IMAGE"] else kinds


def wrong(param: str, wanted: str, value: object, allowed: tuple[str, ...] = ()) -> BadRequest:
    return BadRequest(f"{param} must be {wanted}, not {shown(value)}", param=param, allowed=allowed)


def shown(value: object) -> str:
    """A client's value as a message may hold it."""
    if isinstance(value, bool):
        return str(value).lower()
    kinds = {dict: "an object", list: "a list", InputPicture: "a picture"}
    return kinds.get(type(value)) or short(repr(value))


def short(name: str) -> str:
    return name if len(name) <= _SHOWN_CHARACTERS else name[: _SHOWN_CHARACTERS - 1] + "…"


def _not_among(allowed: tuple[str, ...], value: object, param: str) -> Unsupported:
    return Unsupported(f"{param} must be one of {', '.join(allowed)}, not {shown(value)}", param=param, allowed=allowed)


def _holds_picture(value: object) -> bool:
    if isinstance(value, dict | list):
        return any(_holds_picture(item) for item in (value.values() if isinstance(value, dict) else value))
    return isinstance(value, InputPicture)
