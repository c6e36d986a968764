"""Tencent Cloud's API 3.0: one signed POST for every action, and one envelope for every answer.

    POST {base_url}/   {parameters as JSON}
    X-TC-Action, X-TC-Version, X-TC-Timestamp, X-TC-Region?, Authorization: TC3-HMAC-SHA256 …
    → 200 {"Response": {…, "RequestId"}}
    → 200 {"Response": {"Error": {"Code", "Message"}, "RequestId"}}

Wire facts: tencentcloud-sdk-python-common 3.1.195 (seen 2026-11-20, confidence: official SDK). The common error codes:
Tencent's pages "Error Codes" (2025-10, confidence: documented). `AuthFailure.SignatureExpire` means that this machine's
clock is more than five minutes off.
"""

from __future__ import annotations

import functools
import hashlib
import hmac
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Literal
from urllib.parse import urlsplit

import msgspec

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
from pictura.infra.http import Answer
from pictura.infra.payload import Payload, json_payload
from pictura.providers.answers import mapping, readable, said
from pictura.providers.base import Channel, retry_after, unreadable

ALGORITHM = "TC3-HMAC-SHA256"
#: What both services read, by the names of the vendor's own SDK.
ENV = {"secret_id": "TENCENTCLOUD_SECRET_ID", "secret_key": "TENCENTCLOUD_SECRET_KEY"}

#: What an error code means: refused for its content; the operator's affair; too many at once; the caller's fault; too
#: large; an id that was used before; or accepted and failed.
Meaning = Literal["refused", "operator", "throttled", "caller", "too large", "duplicate", "failed"]

#: Codes are hierarchic: `RequestLimitExceeded.UinLimitExceeded` is a `RequestLimitExceeded`.
_COMMON: Mapping[str, Meaning] = {
    "ActionOffline": "operator",
    "AuthFailure": "operator",
    "FailedOperation": "failed",
    "InternalError": "failed",
    "InvalidAction": "operator",
    "InvalidParameter": "caller",
    "InvalidParameterValue": "caller",
    "IpInBlacklist": "operator",
    "IpNotInWhitelist": "operator",
    "LimitExceeded": "throttled",
    "MissingParameter": "caller",
    "NoSuchProduct": "operator",
    "NoSuchVersion": "operator",
    "RequestLimitExceeded": "throttled",
    "RequestSizeLimitExceeded": "too large",
    "ResourceInsufficient": "throttled",
    "ResourceNotFound": "caller",
    "ResourceUnavailable": "operator",
    "ResourcesSoldOut": "operator",
    "UnauthorizedOperation": "operator",
    "UnknownParameter": "caller",
    "UnsupportedOperation": "operator",
    "UnsupportedRegion": "operator",
}


class Duplicate(Lost):
    """The vendor knows this client id: an earlier call with it came through."""


class Service(msgspec.Struct, frozen=True, kw_only=True):
    """One of Tencent Cloud's services: how it is called, and what its error codes mean beside the common ones.

    `name` as it is signed; `by` the provider that speaks with it; `task_codes` what a whole code means as a failed
    task's, where that differs.
    """

    name: str
    version: str
    by: str
    region: str = ""
    codes: Mapping[str, Meaning] = {}
    task_codes: Mapping[str, Meaning] = {}

    async def call(self, action: str, parameters: Mapping[str, object], via: Channel) -> Mapping[str, object]:
        """The `Response` of an action. Raises what its error code means."""
        body = json_payload(parameters)
        answer = await via.send("POST", "/", headers=await self._headers(action, body, via), body=body)
        answer.close()  # results are URLs: there is no picture in it
        return self._response(answer, via)

    async def ask(self, action: str, parameters: Mapping[str, object], via: Channel) -> Mapping[str, object]:
        """`call` for a question about a task: what goes wrong with the question is not the end of the task.

        Raises Failed only where the vendor does not know the task.
        """
        try:
            return await self.call(action, parameters, via)
        except (Failed, Malformed) as error:
            raise Lost(error.message, upstream_status=error.upstream_status) from error
        except BadRequest as error:
            raise Failed(error.message) from error

    def failure(self, code: str, message: object, via: Channel) -> PicturaError:
        """The error for a task that ended with this code.

        What had no room or no money was never drawn, by the vendor's own words for these codes.
        """
        meaning = self.task_codes.get(code) or self._meaning(code)
        if meaning == "refused":
            return Refused(said(message, via), reason=code, by=self.by)
        return Failed(
            said(message, via),
            upstream_code=code,
            config=meaning == "operator",
            unbilled=meaning in ("throttled", "operator"),
        )

    def _response(self, answer: Answer, via: Channel) -> Mapping[str, object]:
        response = mapping(readable(answer).get("Response"))
        if error := mapping(response.get("Error")):
            code = str(error.get("Code", ""))
            raise self._error(code, said(error.get("Message"), via), answer)
        if answer.status != 200:
            raise unreadable(answer)
        if not response:
            raise Malformed("the provider's answer holds no Response", upstream_status=200)
        return response

    def _error(self, code: str, message: str, answer: Answer) -> PicturaError:
        meaning = self._meaning(code)
        status = answer.status
        if meaning == "refused":
            return Refused(message, reason=code, by=self.by)
        if meaning == "operator":
            return Rejected(message, upstream_status=status, upstream_code=code, config=True)
        if meaning == "throttled":
            rest_s = retry_after(answer)
            return Throttled(message, upstream_status=status, upstream_code=code, retry_after_s=rest_s)
        if meaning == "duplicate":
            return Duplicate(message, upstream_status=status, upstream_code=code)
        if meaning in ("caller", "too large"):
            return TooLarge(message) if meaning == "too large" else BadRequest(message)
        return Failed(message, upstream_status=status, upstream_code=code)

    def _meaning(self, code: str) -> Meaning:
        meanings = {**_COMMON, **self.codes}
        return meanings.get(code) or meanings.get(code.partition(".")[0], "failed")

    async def _headers(self, action: str, body: Payload, via: Channel) -> dict[str, str]:
        # Sent as it is signed: no client decides by itself what to call this host.
        host = urlsplit(via.base_url).netloc.rpartition("@")[2]
        timestamp = int(time.time())
        signed = authorization(
            via.secrets.get("secret_id", ""),
            via.secrets.get("secret_key", ""),
            service=self.name,
            host=host,
            content_type=body.content_type,
            timestamp=timestamp,
            body_sha256=await _sha256(body),
        )
        return {
            "Host": host,
            "Authorization": signed,
            "X-TC-Action": action,
            "X-TC-Version": self.version,
            "X-TC-Timestamp": str(timestamp),
            **({"X-TC-Region": self.region} if self.region else {}),
        }


def authorization(
    secret_id: str,
    secret_key: str,
    *,
    service: str,
    host: str,
    content_type: str,
    timestamp: int,
    body_sha256: str,
) -> str:
    """The `Authorization` of a POST to `/`. `timestamp`: Unix seconds, those of X-TC-Timestamp."""
    date = datetime.fromtimestamp(timestamp, UTC).strftime("%Y-%m-%d")
    scope = f"{date}/{service}/tc3_request"
    headers = "content-type;host"
    request = f"POST\n/\n\ncontent-type:{content_type}\nhost:{host}\n\n{headers}\n{body_sha256}"
    text = f"{ALGORITHM}\n{timestamp}\n{scope}\n{hashlib.sha256(request.encode()).hexdigest()}"
    signature = functools.reduce(_hmac, (date, service, "tc3_request", text), f"TC3{secret_key}".encode())
    return f"{ALGORITHM} Credential={secret_id}/{scope}, SignedHeaders={headers}, Signature={signature.hex()}"


def _hmac(key: bytes, text: str) -> bytes:
    return hmac.digest(key, text.encode(), "sha256")


async def _sha256(body: Payload) -> str:
    digest = hashlib.sha256()
    for chunk in body.chunks():
        digest.update(chunk)
    return digest.hexdigest()
