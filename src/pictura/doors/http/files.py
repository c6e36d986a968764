"""Pictures by signed URL: whole or in ranges, cached by the client alone, with the type they really have."""

from __future__ import annotations

import re
from pathlib import PurePosixPath

from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, Response

from pictura.core import ids
from pictura.core.errors import NotFound
from pictura.core.media import FORMATS
from pictura.doors.house import House
from pictura.doors.links import FILES

#: Without the `W/` of a weak one.
_ETAG = re.compile(r'"[^"]*"')
_TYPES = {row.extension: row.type for row in FORMATS.values()}
#: An SVG may carry scripts; nothing that is served here may run any.
_INERT = {
    "content-security-policy": "default-src 'none'; style-src 'unsafe-inline'; sandbox",
    "x-content-type-options": "nosniff",
    "access-control-allow-origin": "*",
    "cross-origin-resource-policy": "cross-origin",
}


class Files:
    """GET and HEAD below `/files/`; the signature is the only key that is asked for."""

    def __init__(self, house: House) -> None:
        self._house = house

    async def serve(self, request: Request) -> Response:
        key = request.url.path.removeprefix(FILES)
        try:
            left_s = self._house.links.check(key, request.query_params)
            blob = self._house.blobs.open(key)
        except NotFound as error:
            told = {"message": error.message, "type": "not_found", "request_id": ids.new("req")}
            return JSONResponse({"error": told}, 404, {**_INERT, "x-request-id": told["request_id"]})
        ending = PurePosixPath(key).suffix.removeprefix(".")
        headers = {**_INERT, "cache-control": f"private, max-age={left_s}, immutable"}
        media_type = _TYPES.get(ending, "application/octet-stream")
        whole = FileResponse(blob.path, headers=headers, media_type=media_type, stat_result=blob.path.stat())
        if not _has(request, whole.headers["etag"]):
            return whole
        return Response(status_code=304, headers={**headers, "etag": whole.headers["etag"]})


def _has(request: Request, etag: str) -> bool:
    """Does the client say that it has this already? `If-None-Match`, weakly compared (RFC 9110, 13.1.2)."""
    said = ",".join(request.headers.getlist("if-none-match"))
    return said.strip() == "*" or etag in _ETAG.findall(said)
