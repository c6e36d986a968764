"""Tencent Cloud's API 3.0, as strict as the vendor: signatures recomputed, actions found by header, one envelope.

The rules are those of Tencent's page "Signature v3" (2024-11, documented) and of tencentcloud-sdk-python-common 3.1.195
(2026-11, official SDK); the common error codes those of its pages "Error Codes" (2025-10, documented). Messages follow
errors seen in public issue trackers; where none was found, the pattern of the others.

The test key is the SecretId, and SecretKey is the word `sandbox`. GET, forms and temporary tokens are not imitated. The
vendor's SDK knows no path, so an endpoint like `127.0.0.1:4001/tencent-vod` is signed as a Host; that is accepted.
"""

from __future__ import annotations

import functools
import hashlib
import hmac
import re
import time
import uuid
from abc import abstractmethod
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import ClassVar

import msgspec
from aiohttp import web

from pictura.core.errors import BadRequest
from pictura.infra.extract import Cut, Extractor
from pictura.infra.spool import CHUNK_BYTES
from pictura.sandbox.base import SECRET, TEXT_BYTES, Simulator, Visit
from pictura.sandbox.fields import Fields, Why, Wrong

#: Of a whole request.
BODY_BYTES = 10_000_000
#: Seconds that a request's clock may be off.
CLOCK_S = 300

_AUTHORIZATION = re.compile(
    r"TC3-HMAC-SHA256 Credential=([^/]+)/(\d{4}-\d\d-\d\d)/(\w+)/tc3_request, ?SignedHeaders=([\w;-]+), ?"
    r"Signature=([0-9a-f]{64})"
)
_SIGNED = {"content-type", "host"}
_WRONG_CODES: Mapping[Why, str] = {
    "missing": "MissingParameter",
    "type": "InvalidParameter",
    "unknown": "UnknownParameter",
    "value": "InvalidParameterValue",
    "range": "InvalidParameterValue",
    "length": "InvalidParameterValue",
}


class ApiError(Exception):
    """An error as the vendor writes it."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


class Call(msgspec.Struct, frozen=True, eq=False):
    """What an action is called with; the base64 under the service's picture keys is cut out of the fields."""

    visit: Visit
    fields: Fields
    cuts: Sequence[Cut]


Outcome = Mapping[str, object] | web.StreamResponse
#: Gives the `Response` without its RequestId, or misbehaves.
Action = Callable[[Call], Awaitable[Outcome]]


class CloudService(Simulator):
    """Base of the simulated services. It has no name, so it is none.

    `service` as it is signed; `regions` of which one must be named, none where it need not be; `troubles` the codes for
    401, 402, 429 and 500.
    """

    service: ClassVar[str]
    version: ClassVar[str]
    regions: ClassVar[tuple[str, ...]] = ()
    picture_keys: ClassVar[frozenset[str]] = frozenset()
    troubles: ClassVar[Mapping[int, str]]

    @abstractmethod
    def actions(self) -> Mapping[str, Action]:
        """What can be asked for, by X-TC-Action."""

    def routes(self) -> Iterable[web.RouteDef]:
        return [web.post("", self._answer), web.post("/", self._answer)]

    async def error(self, visit: Visit, status: int) -> web.StreamResponse:
        return await self._send(visit, _told(ApiError(self.troubles[status], "The prompt asked for this.")))

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        with Visit(request, self.studio) as visit:
            try:
                outcome = await self._act(visit)
            except ApiError as error:
                outcome = _told(error)
            except Wrong as wrong:
                outcome = _told(ApiError(_WRONG_CODES[wrong.why], f"{wrong.message}."))
            except BadRequest as error:
                outcome = _told(ApiError("InvalidParameterValue", error.message))
            return outcome if isinstance(outcome, web.StreamResponse) else await self._send(visit, outcome)

    async def _send(self, visit: Visit, response: Mapping[str, object]) -> web.StreamResponse:
        return await visit.send({"Response": {**response, "RequestId": str(uuid.uuid4())}})

    async def _act(self, visit: Visit) -> Outcome:
        extractor = Extractor(
            visit.spool,
            keys=self.picture_keys,
            text_cap=TEXT_BYTES,
            picture_cap=BODY_BYTES,
            picture_count_cap=100,
        )
        digest = await _read(visit.request, extractor)
        self._check_signature(visit.request, digest)
        action = self._action(visit.request)
        try:
            values = msgspec.json.decode(extractor.finish(), type=dict[str, object])
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise ApiError("InvalidParameter", "The request body is not a JSON object.") from error
        return await action(Call(visit, Fields(values), extractor.cuts))

    def _action(self, request: web.Request) -> Action:
        name, version = request.headers.get("X-TC-Action", ""), request.headers.get("X-TC-Version", "")
        region = request.headers.get("X-TC-Region", "")
        if version != self.version:
            raise ApiError("NoSuchVersion", f"The version `{version}` does not exist.")
        if self.regions and not region:
            raise ApiError("MissingParameter", "The request is missing a required parameter `Region`.")
        if self.regions and region not in self.regions:
            raise ApiError("UnsupportedRegion", f"The region `{region}` is not supported by this service.")
        if name not in (actions := self.actions()):
            raise ApiError("InvalidAction", f"The request is invalid: the action `{name}` does not exist.")
        return actions[name]

    def _check_signature(self, request: web.Request, body_sha256: str) -> None:
        found = _AUTHORIZATION.fullmatch(request.headers.get("Authorization", ""))
        if found is None:
            raise ApiError("AuthFailure.InvalidAuthorization", "The Authorization header is missing or malformed.")
        secret_id, date, service, signed, signature = found.groups()
        timestamp = _timestamp(request)
        if not self.studio.accepts(secret_id):
            raise ApiError("AuthFailure.SecretIdNotFound", "The SecretId is not found, please ensure it is correct.")
        names = signed.split(";")
        scope = f"{date}/{service}/tc3_request"
        text = f"TC3-HMAC-SHA256\n{timestamp}\n{scope}\n{_canonical_sha256(request, names, body_sha256)}"
        own = functools.reduce(_hmac, (date, service, "tc3_request", text), f"TC3{SECRET}".encode()).hex()
        today = datetime.fromtimestamp(timestamp, UTC).strftime("%Y-%m-%d")
        scoped = (date, service) == (today, self.service) and set(names) >= _SIGNED
        if not scoped or not hmac.compare_digest(own, signature):
            raise ApiError(
                "AuthFailure.SignatureFailure",
                "The provided credentials could not be validated. Please check your signature is correct.",
            )


async def _read(request: web.Request, extractor: Extractor) -> str:
    """Feed the body as it comes; the answer is its SHA-256, in hexadecimal."""
    digest, size = hashlib.sha256(), 0
    async for chunk in request.content.iter_chunked(CHUNK_BYTES):
        size += len(chunk)
        if size > BODY_BYTES:
            raise ApiError("RequestSizeLimitExceeded", f"The request exceeds {BODY_BYTES:,} bytes.")
        digest.update(chunk)
        extractor.feed(chunk)
    return digest.hexdigest()


def _timestamp(request: web.Request) -> int:
    text = request.headers.get("X-TC-Timestamp", "")
    if not re.fullmatch(r"\d{1,12}", text):
        raise ApiError("MissingParameter", "The request is missing a required parameter `Timestamp`.")
    if abs(time.time() - int(text)) > CLOCK_S:
        raise ApiError("AuthFailure.SignatureExpire", "The signature is expired: check this machine's clock.")
    return int(text)


def _canonical_sha256(request: web.Request, names: Sequence[str], body_sha256: str) -> str:
    headers = "".join(f"{name}:{request.headers.get(name, '').strip().lower()}\n" for name in names)
    text = f"{request.method}\n/\n\n{headers}\n{';'.join(names)}\n{body_sha256}"
    return hashlib.sha256(text.encode()).hexdigest()


def _hmac(key: bytes, text: str) -> bytes:
    return hmac.digest(key, text.encode(), "sha256")


def _told(error: ApiError) -> Mapping[str, object]:
    return {"Error": {"Code": error.code, "Message": error.message}}
