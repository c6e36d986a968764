"""How a test speaks with a dialect: a body in, an answer out, with hands that give what it can recognise."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import pytest

from pictura.core.errors import BadRequest
from pictura.core.picture import Inline
from pictura.core.request import Body, ImageRequest, Upload
from pictura.core.result import Delivered, ImageResult
from pictura.core.views import Call
from pictura.dialects.base import Dialect

CALL = Call(request_id="req_1")
CHINESE = Call(request_id="req_1", headers={"accept-language": "zh-CN,zh;q=0.9,en;q=0.8"})
CREATED_MS = 1_769_286_389_027
CREATED_S = 1_769_286_389
#: What stands in an answer where a picture's bytes would.
BASE64 = "cGljdHVyZQ=="


class Nothing:
    """A picture of no bytes."""

    size = 0

    def read(self, offset: int = 0, size: int = -1) -> bytes:
        return b""

    def chunks(self, size: int = 65536) -> Iterator[bytes]:
        yield b""


class Here:
    def url(self, picture: Delivered) -> str:
        return picture.url or f"https://img.example/{picture.key}"

    def base64(self, picture: Delivered) -> Inline:
        return Inline(Nothing())


HERE = Here()


def upload(name: str = "", filename: str = "fox.png") -> Upload:
    return Upload(name, Nothing(), "image/png", filename)


def result(*pictures: Delivered, **more: object) -> ImageResult:
    return ImageResult(created_ms=CREATED_MS, pictures=pictures, **more)  # type: ignore[arg-type]


def as_sent(value: object) -> object:
    """As the door writes it, with BASE64 for each picture."""
    if isinstance(value, Inline):
        return BASE64
    if isinstance(value, Mapping):
        return {key: as_sent(item) for key, item in value.items()}
    if isinstance(value, list):
        return [as_sent(item) for item in value]
    return value


def decode(
    dialect: Dialect,
    fields: Mapping[str, object],
    *uploads: Upload,
    form: bool = False,
    edit: bool = False,
    call: Call = CALL,
) -> ImageRequest:
    return dialect.decode(call, Body(dict(fields), list(uploads), form), edit=edit)


def complaint(
    dialect: Dialect, fields: Mapping[str, object], *uploads: Upload, form: bool = False, edit: bool = False
) -> BadRequest:
    with pytest.raises(BadRequest) as caught:
        decode(dialect, fields, *uploads, form=form, edit=edit)
    return caught.value


def refs(request: ImageRequest) -> list[str]:
    return [picture.ref for picture in request.images]


def answered(dialect: Dialect, path: str, view: object, *, method: str = "GET", **query: str) -> object:
    """The body of what is said on `path` about `view`."""
    route = next(route for route in dialect.routes if (route.method, route.path) == (method, path))
    assert route.answer is not None
    return route.answer(dialect, Call(request_id="req_1", method=method, path=path, query=query), view).body


def paths(dialect: Dialect, method: str) -> Sequence[str]:
    return [route.path for route in dialect.routes if route.method == method]
