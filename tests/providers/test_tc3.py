from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Awaitable, Callable, Iterator

import pytest
from aiohttp import web
from aiohttp.typedefs import Handler
from tencentcloud.common.abstract_client import AbstractClient
from tencentcloud.common.credential import Credential
from tencentcloud.common.http.request import RequestInternal

from pictura.core.errors import (
    BadRequest,
    Failed,
    Lost,
    Malformed,
    PicturaError,
    Refused,
    Rejected,
    Throttled,
    TooLarge,
)
from pictura.infra.spool import Spool
from pictura.providers.base import Channel
from pictura.providers.tc3 import Duplicate, Service, authorization

SECRET_ID, SECRET_KEY = "AKIDsecretid0123", "secretkey0123456"
SERVICE = Service(
    name="vod",
    version="2018-07-17",
    by="acme",
    region="ap-guangzhou",
    codes={
        "InvalidParameter.Violation": "refused",
        "InvalidParameterValue.SessionId": "duplicate",
        "LimitExceeded.Quota": "operator",
    },
    task_codes={"FailedOperation": "throttled", "Moderated": "refused"},
)

Serve = Callable[[Handler], Awaitable[Channel]]


def says(body: object, status: int = 200, headers: dict[str, str] | None = None) -> Handler:
    async def handler(_request: web.Request) -> web.StreamResponse:
        if isinstance(body, str):
            return web.Response(text=body, status=status, content_type="text/html")
        return web.json_response(body, status=status, headers=headers)

    return handler


def fault(code: str, message: str = "no") -> dict[str, object]:
    return {"Response": {"Error": {"Code": code, "Message": message}, "RequestId": "r"}}


async def channel(serve: Serve, handler: Handler) -> Channel:
    via = await serve(handler)
    via.secrets = {"secret_id": SECRET_ID, "secret_key": SECRET_KEY}
    return via


# -- signatures --


class OfficialClient(AbstractClient):  # type: ignore[misc]  # the SDK carries no types
    _service = "vod"

    def sign(self, body: str, host: str, timestamp: int) -> str:
        """As its own requests are signed, at a moment that we choose."""
        request = RequestInternal(host, "POST", "/", header={}, data=body)
        request.header = {"Content-Type": "application/json", "Host": host, "X-TC-Timestamp": str(timestamp)}
        date = "2026-11-20"
        return str(self._get_tc3_signature({}, request, date, self._service, SECRET_KEY))


@pytest.fixture
def in_china(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    with monkeypatch.context() as patched:
        patched.setenv("TZ", "Asia/Shanghai")
        time.tzset()
        yield
    time.tzset()


@pytest.mark.parametrize("body", ['{"Prompt": "a fox"}', '{"Prompt": "狐狸"}', "{}"])
def test_the_signature_is_the_official_sdk_s(body: str, in_china: None) -> None:
    timestamp = 1_795_208_600  # 2026-11-20, 20:23:20 UTC, when it is the 21st in China
    official = OfficialClient(Credential(SECRET_ID, SECRET_KEY), "").sign(body, "vod.tencentcloudapi.com", timestamp)
    own = authorization(
        SECRET_ID,
        SECRET_KEY,
        service="vod",
        host="vod.tencentcloudapi.com",
        content_type="application/json",
        timestamp=timestamp,
        body_sha256=hashlib.sha256(body.encode()).hexdigest(),
    )
    assert own == (
        f"TC3-HMAC-SHA256 Credential={SECRET_ID}/2026-11-20/vod/tc3_request, SignedHeaders=content-type;host, "
        f"Signature={official}"
    )


async def test_what_is_signed_is_what_is_sent(serve: Serve) -> None:
    seen: dict[str, str] = {}

    async def handler(request: web.Request) -> web.StreamResponse:
        body = await request.read()
        own = authorization(
            SECRET_ID,
            SECRET_KEY,
            service="vod",
            host=request.headers["Host"],
            content_type=request.headers["Content-Type"],
            timestamp=int(request.headers["X-TC-Timestamp"]),
            body_sha256=hashlib.sha256(body).hexdigest(),
        )
        seen.update(request.headers, own=own, path=request.path, body=body.decode())
        return web.json_response({"Response": {"TaskId": "t", "RequestId": "r"}})

    via = await channel(serve, handler)
    assert (await SERVICE.call("Draw", {"Prompt": "a fox"}, via))["TaskId"] == "t"
    assert seen["own"] == seen["Authorization"]
    assert (seen["X-TC-Action"], seen["X-TC-Version"], seen["X-TC-Region"]) == ("Draw", "2018-07-17", "ap-guangzhou")
    assert (seen["path"], json.loads(seen["body"])) == ("/v1/", {"Prompt": "a fox"})


# -- errors --

CODES: list[tuple[str, type[PicturaError], dict[str, object]]] = [
    ("InvalidParameter.Violation", Refused, {"reason": "InvalidParameter.Violation", "by": "acme"}),
    ("AuthFailure.SecretIdNotFound", Rejected, {"config": True, "upstream_code": "AuthFailure.SecretIdNotFound"}),
    ("UnauthorizedOperation.CamNoAuth", Rejected, {"config": True}),
    ("ResourceUnavailable.InArrears", Rejected, {"config": True, "possibly_billed": False}),
    ("LimitExceeded.Quota", Rejected, {"config": True}),
    ("LimitExceeded", Throttled, {"config": False, "retry_after_s": 7}),
    ("RequestLimitExceeded.UinLimitExceeded", Throttled, {"retry_after_s": 7, "safe_elsewhere": True}),
    ("InvalidParameterValue.Resolution", BadRequest, {"message": "no"}),
    ("UnknownParameter", BadRequest, {}),
    ("RequestSizeLimitExceeded", TooLarge, {}),
    ("InvalidParameterValue.SessionId", Duplicate, {"possibly_billed": True}),
    ("InternalError", Failed, {"possibly_billed": True}),
    ("FailedOperation", Failed, {"upstream_code": "FailedOperation", "safe_elsewhere": False}),
    ("SomethingNew.Tomorrow", Failed, {}),
]


@pytest.mark.parametrize(("code", "kind", "facts"), CODES)
async def test_errors_are_told_by_code(
    code: str, kind: type[PicturaError], facts: dict[str, object], serve: Serve
) -> None:
    via = await channel(serve, says(fault(code), headers={"Retry-After": "7"}))
    with pytest.raises(PicturaError) as caught:
        await SERVICE.call("Draw", {}, via)
    assert type(caught.value) is kind
    assert {name: getattr(caught.value, name) for name in facts} == facts


async def test_no_secret_is_in_a_message(serve: Serve) -> None:
    said = f"The SecretId {SECRET_ID} is not found; RequestLimitExceeded, content is sensitive."
    via = await channel(serve, says(fault("AuthFailure", said)))
    with pytest.raises(Rejected) as caught:
        await SERVICE.call("Draw", {}, via)
    assert caught.value.message == "The SecretId *** is not found; RequestLimitExceeded, content is sensitive."


@pytest.mark.parametrize(
    ("status", "body", "kind"),
    [
        (502, "<html>Bad Gateway</html>", Lost),
        (404, "<html>nothing here</html>", Rejected),
        (503, {"message": "unavailable"}, Lost),
        (429, fault("RequestLimitExceeded"), Throttled),
        (200, "<html>welcome</html>", Malformed),
        (200, {"Response": None}, Malformed),
        (200, ["nonsense"], Malformed),
    ],
)
async def test_answers_in_nobodys_words(status: int, body: object, kind: type[PicturaError], serve: Serve) -> None:
    via = await channel(serve, says(body, status))
    with pytest.raises(PicturaError) as caught:
        await SERVICE.call("Draw", {}, via)
    assert type(caught.value) is kind


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (fault("InternalError"), Lost),
        ("<html>welcome</html>", Lost),
        (fault("RequestLimitExceeded"), Throttled),
        (fault("AuthFailure"), Rejected),
        (fault("InvalidParameterValue.TaskId"), Failed),
    ],
)
async def test_a_question_that_fails_does_not_end_the_task(
    body: object, kind: type[PicturaError], serve: Serve
) -> None:
    via = await channel(serve, says(body))
    with pytest.raises(PicturaError) as caught:
        await SERVICE.ask("Describe", {}, via)
    assert type(caught.value) is kind


@pytest.mark.parametrize(
    ("code", "kind", "billed"),
    [
        ("Moderated", Refused, False),
        ("InvalidParameter.Violation", Refused, False),
        ("RequestLimitExceeded", Failed, False),
        ("FailedOperation", Failed, False),
        ("ResourceUnavailable.InArrears", Failed, False),
        ("FailedOperation.Engine", Failed, True),
        ("InvalidParameterValue", Failed, True),
        ("ModelGenerateFailed", Failed, True),
    ],
)
async def test_a_failed_task_is_billed_unless_it_never_ran(
    code: str, kind: type[PicturaError], billed: bool, connect: Callable[[str], Channel]
) -> None:
    error = SERVICE.failure(code, "no", connect("http://127.0.0.1:9"))
    assert type(error) is kind
    assert error.possibly_billed is billed


async def test_a_picture_instead_of_an_answer_is_let_go(
    serve: Serve, spools: list[Spool], open_spools: Callable[[], list[Spool]]
) -> None:
    async def handler(_request: web.Request) -> web.StreamResponse:
        return web.Response(body=b"a picture", content_type="image/png")

    via = await channel(serve, handler)
    with pytest.raises(Malformed):
        await SERVICE.call("Draw", {}, via)
    assert spools and not open_spools()
