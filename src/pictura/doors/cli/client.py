"""The CLI's way to a gateway: plain HTTP of the standard library, which is there in no time."""

from __future__ import annotations

import http.client
import ipaddress
import os
import shutil
import urllib.error
import urllib.request
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TypeVar
from urllib.parse import SplitResult, quote, urlencode, urlsplit

import msgspec

from pictura import __version__
from pictura.core.errors import BadRequest, HouseError, Lost, NotSent, PicturaError
from pictura.core.media import Media, sniff
from pictura.doors.links import FILES

T = TypeVar("T")

#: Seconds of silence: a picture may take as long as the house waits for its provider; everything else is quick.
PICTURE_S = 960.0
ACT_S = 90.0
ALIVE_S = 3.0

#: `x-pictura-…` headers that say what was not as asked.
REMARKS = ("adjusted", "ignored", "short")


class Answered(PicturaError):
    """The gateway said no; the message is its own."""


class Body(msgspec.Struct):
    """Bytes to send, in chunks, and how many they are."""

    content_type: str
    size: int
    chunks: Iterable[bytes]


class Drawing(msgspec.Struct):
    """What ImageRouter's dialect answers: `cost` in dollars, None where nobody knows it."""

    data: list[Datum]
    cost: float | None = None


class Datum(msgspec.Struct):
    url: str


class Drawn(msgspec.Struct):
    """`job`: its id; `remarks`: what was not as asked."""

    urls: list[str]
    job: str
    cost: float | None
    sandbox: bool
    remarks: list[str]


class _Stay(urllib.request.HTTPRedirectHandler):
    """No redirect is followed: the key must not travel to another address."""

    def redirect_request(self, *_: object) -> None:
        return None


class Client:
    """One gateway, one key. Raises PicturaError for every way in which it may not answer."""

    def __init__(self, url: str, key: str = "") -> None:
        self.url = url.rstrip("/")
        self.key = key
        parts = urlsplit(self.url)
        if parts.scheme not in ("http", "https") or not parts.hostname or not _has_good_port(parts):
            raise BadRequest(
                f"{url[:100]!r} is not the address of a gateway; write http://127.0.0.1:4000 (ports: 0 to 65535)"
            )
        # A proxy named in the environment is for the world outside, not for this machine.
        proxies = urllib.request.ProxyHandler({} if _is_near(parts.hostname) else None)
        self._opener = urllib.request.build_opener(_Stay, proxies)

    def alive(self) -> bool:
        try:
            with self._send("GET", "/health", timeout_s=ALIVE_S) as answer:
                return bool(answer.status == 200)
        except PicturaError:
            return False

    def ask(
        self,
        method: str,
        path: str,
        kind: type[T],
        *,
        query: Mapping[str, object] | None = None,
        body: object = None,
        timeout_s: float = ACT_S,
    ) -> T:
        """One act of the admin API; `kind` is the shape of its answer."""
        told = None if body is None else json_body(body)
        target = f"{path}?{urlencode(query)}" if query else path
        with self._send(method, target, told, timeout_s=timeout_s) as answer:
            return _decode(answer.read(), kind)

    def draw(self, path: str, body: Body) -> Drawn:
        """Ask for pictures, as URLs."""
        with self._send("POST", path, body, timeout_s=PICTURE_S) as answer:
            told = _decode(answer.read(), Drawing)
            headers = answer.headers
        said = {name: headers.get(f"x-pictura-{name}", "") for name in ("job", "sandbox", *REMARKS)}
        return Drawn(
            urls=[datum.url for datum in told.data],
            job=said["job"],
            cost=told.cost,
            sandbox=said["sandbox"] == "true",
            remarks=[f"{name}: {_utf8(said[name])}" for name in REMARKS if said[name]],
        )

    def save(self, url: str, folder: Path, named: Callable[[Media], Path]) -> tuple[Path, Media]:
        """The picture of `url` as a file in `folder`, whole or not at all. What it is is read from its own first bytes;
        with that `named` says which file.
        """
        part = folder / f"pictura-{os.getpid()}.part"
        try:
            with self._fetch(url) as answer, part.open("wb") as file:
                shutil.copyfileobj(answer, file, 256 * 1024)
            media = measure(part)
            target = named(media)
            part.replace(target)
        finally:
            part.unlink(missing_ok=True)
        return target, media

    def _fetch(self, url: str) -> http.client.HTTPResponse:
        parts = urlsplit(url)
        if parts.path.startswith(FILES):
            # Ours, whatever public name it was given: fetched where we know the house to be.
            try:
                return self._send("GET", f"{parts.path}?{parts.query}", timeout_s=ACT_S)
            except Answered:
                pass  # the one of another house, whose URL was handed on
        if parts.scheme not in ("http", "https"):
            raise HouseError(f"the picture's URL begins with {parts.scheme[:20]!r}; only http and https are fetched")
        return _open(urllib.request.build_opener(), urllib.request.Request(url), ACT_S)

    def _send(self, method: str, path: str, body: Body | None = None, *, timeout_s: float) -> http.client.HTTPResponse:
        headers = {"User-Agent": f"pictura/{__version__}"}
        if self.key:
            headers["Authorization"] = f"Bearer {self.key}"
        if body is not None:
            headers |= {"Content-Type": body.content_type, "Content-Length": str(body.size)}
        request = urllib.request.Request(
            self.url + path, data=None if body is None else body.chunks, headers=headers, method=method
        )
        return _open(self._opener, request, timeout_s)


def json_body(value: object) -> Body:
    text = msgspec.json.encode(value)
    return Body("application/json", len(text), [text])


def _utf8(header: str) -> str:
    """A header's text, which the standard library takes for Latin-1 and the gateway wrote in UTF-8."""
    return header.encode("latin-1").decode(errors="replace")


def measure(file: Path) -> Media:
    """Format and pixels of a picture. Raises BadRequest where it is none."""

    def read(offset: int, size: int) -> bytes:
        with file.open("rb") as handle:
            handle.seek(offset if offset >= 0 else max(0, length + offset))
            return handle.read(size)

    length = file.stat().st_size
    return sniff(read, length)


def segment(text: str) -> str:
    """Text as one part of a path."""
    return quote(text, safe="")


def _open(
    opener: urllib.request.OpenerDirector, request: urllib.request.Request, timeout_s: float
) -> http.client.HTTPResponse:
    host = f"{request.type}://{request.host}"
    try:
        answer: http.client.HTTPResponse = opener.open(request, timeout=timeout_s)
        return answer
    except urllib.error.HTTPError as error:
        with error:
            raise Answered(_complaint(error.code, error.read(64 * 1024), host)) from None
    except urllib.error.URLError as error:
        raise NotSent(f"no answer from {host}: {_why(error.reason)}") from None
    except (OSError, http.client.HTTPException) as error:
        raise Lost(f"{host} broke off: {_why(error)}") from None


def _why(reason: object) -> str:
    if isinstance(reason, OSError) and reason.strerror:
        return reason.strerror
    return str(reason) or type(reason).__name__


class _Error(msgspec.Struct):
    message: str
    request_id: str = ""


class _Envelope(msgspec.Struct):
    error: _Error


def _complaint(status: int, body: bytes, host: str) -> str:
    try:
        error = msgspec.json.decode(body, type=_Envelope).error
    except msgspec.DecodeError:
        return f"{host} answered {status}, and not in words of Pictura; is it one?"
    return f"{error.message} (request {error.request_id})" if status >= 500 and error.request_id else error.message


def _decode(body: bytes, kind: type[T]) -> T:
    try:
        return msgspec.json.decode(body, type=kind)
    except msgspec.DecodeError as error:
        raise HouseError(f"the gateway's answer is not understood ({error}); is it of another version?") from None


def _has_good_port(parts: SplitResult) -> bool:
    try:
        _ = parts.port
    except ValueError:
        return False
    return True


def _is_near(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
