"""Reading a request's body: pictures to spools as they flow in, the rest to fields. Every cap holds on the way."""

from __future__ import annotations

import asyncio
import codecs
import re
from collections.abc import Callable, Mapping
from contextlib import nullcontext

import msgspec
from starlette.types import Receive

from pictura.core.errors import BadRequest, TooLarge, TooSlow, WrongMediaType
from pictura.core.media import parse_data_url
from pictura.core.request import Body, Upload, mark
from pictura.dialects.base import Limits
from pictura.infra.config import ServerSettings
from pictura.infra.extract import Extractor, is_plain
from pictura.infra.form import FormParser, parse_parameters
from pictura.infra.spool import Spool

#: Under these keys a bare base64 string is a picture too; a data URL is one under any key.
PICTURE_KEYS = frozenset({"image", "images", "mask", "data", "b64_json"})
#: Bodies up to this size are read without a transfer slot.
FREE_BYTES = 64 * 1024
#: A few more parts than any dialect allows pictures, so that its own complaint can count them.
SPARE_PARTS = 64
#: How much of a refused body is taken in, so that the client gets to read why.
DRAIN_BYTES = 64 * 1024 * 1024
DRAIN_S = 5.0


class ClientGone(Exception):
    """The client closed its connection; there is nobody to answer."""


class Incoming:
    """A body on its way in. `slots` gates how many large ones are read at once."""

    def __init__(
        self, receive: Receive, headers: Mapping[str, str], settings: ServerSettings, slots: asyncio.Semaphore
    ) -> None:
        self._receive = receive
        self._headers = headers
        self._settings = settings
        self._slots = slots
        self._ended = headers.get("content-length") == "0" and "transfer-encoding" not in headers
        self._pieces = 0
        self._started = 0.0
        self._taken = 0
        self._too_slow = False

    async def read(self, limits: Limits, picture_bytes: int, open_spool: Callable[[], Spool]) -> Body:
        """The whole body. Raises BadRequest and its kin, ClientGone."""
        self._check_encoding()
        content_type = self._headers.get("content-type", "application/json")
        kind = content_type.partition(";")[0].strip().lower()
        async with nullcontext() if self._is_small() else self._slots:
            if kind == "multipart/form-data":
                boundary = parse_parameters(content_type)[1].get("boundary", "")
                return await self._form(boundary, limits, picture_bytes, open_spool)
            if kind == "application/json" or kind.endswith("+json"):
                return await self._json(limits, picture_bytes, open_spool)
        raise WrongMediaType(
            f"a body of type {kind[:80]!r} is not read here; send application/json or multipart/form-data"
        )

    def _check_encoding(self) -> None:
        """What is small on the way may be large without end here, so nothing is unpacked."""
        encoding = self._headers.get("content-encoding", "identity").strip().lower()
        if encoding not in ("", "identity"):
            raise WrongMediaType(
                f"the body came as Content-Encoding: {encoding[:80]}; send it uncompressed, without that header"
            )

    async def drain(self) -> bool:
        """Take in what a refused client is still sending, within bounds. False: there is more of it."""
        if self._too_slow:
            return False
        if self._headers.get("expect", "").lower() == "100-continue":
            return False  # it waits for our word before it sends, and the answer is that word
        taken = 0
        try:
            async with asyncio.timeout(DRAIN_S):
                while not self._ended and taken < DRAIN_BYTES:
                    taken += len(await self._next())
        except (TimeoutError, ClientGone):
            return self._ended
        return self._ended

    async def chunk(self) -> bytes:
        """What comes next of the body, nothing at its end. Raises TooSlow, ClientGone."""
        chunk = b""
        while not self._ended and not chunk:
            try:
                async with asyncio.timeout(self._settings.body_idle_s):
                    chunk = await self._next()
            except TimeoutError:
                raise self._slow(f"nothing of the body came for {self._settings.body_idle_s:g} s") from None
            if not self._ended:
                self._check_pace(len(chunk))
        return chunk

    def _check_pace(self, size: int) -> None:
        now = asyncio.get_running_loop().time()
        if self._pieces == 1:
            self._started = now
        self._taken += size
        passed_s = now - self._started
        if passed_s > self._settings.body_idle_s and self._taken < passed_s * self._settings.body_slowest:
            raise self._slow(f"the body came slower than {self._settings.body_slowest} bytes a second")

    def _slow(self, what: str) -> TooSlow:
        self._too_slow = True
        return TooSlow(what)

    async def _next(self) -> bytes:
        message = await self._receive()
        if message["type"] == "http.disconnect":
            raise ClientGone
        self._ended = not message.get("more_body", False)
        self._pieces += 1
        chunk: bytes = message.get("body", b"")
        return chunk

    def _is_small(self) -> bool:
        length = self._headers.get("content-length", "")
        return length.isascii() and length.isdigit() and int(length[:18]) <= FREE_BYTES

    async def _json(self, limits: Limits, picture_bytes: int, open_spool: Callable[[], Spool]) -> Body:
        extractor = Extractor(
            open_spool,
            keys=PICTURE_KEYS,
            data_urls=True,
            text_cap=limits.text_bytes,
            picture_cap=picture_bytes,
            picture_count_cap=SPARE_PARTS,
        )
        plain: bytes | None = None
        try:
            while chunk := await self.chunk():
                if self._ended and self._pieces == 1 and _is_plain(chunk, limits):
                    plain = chunk
                else:
                    extractor.feed(chunk)
            if plain is not None:
                return Body(_object(plain))
            fields = _object(extractor.finish())
        except BaseException:
            extractor.close()
            raise
        uploads = [Upload(cut.key, cut.spool, cut.spool.media_type, flaw=cut.flaw) for cut in extractor.cuts]
        return Body(fields, uploads)

    async def _form(self, boundary: str, limits: Limits, picture_bytes: int, open_spool: Callable[[], Spool]) -> Body:
        form = _Form(limits, picture_bytes, open_spool)
        try:
            parser = FormParser(boundary, form, part_cap=2 * SPARE_PARTS)
            while chunk := await self.chunk():
                parser.feed(chunk)
            parser.finish()
        except BaseException:
            close(form.body.uploads)
            raise
        return form.body


class _Form:
    """A multipart body, part by part: texts into fields, files into spools."""

    def __init__(self, limits: Limits, picture_bytes: int, open_spool: Callable[[], Spool]) -> None:
        self.body = Body({}, [], form=True)
        self._limits = limits
        self._picture_bytes = picture_bytes
        self._open_spool = open_spool
        self._text_left = limits.text_bytes
        self._name = ""
        self._text: bytearray | None = None
        self._file: Spool | None = None

    def begin(self, name: str, filename: str | None, content_type: str) -> None:
        self._name = name
        if filename is None:
            self._text = bytearray()
            return
        self._file = self._open_spool()
        self.body.uploads.append(Upload(name, self._file, content_type, filename))

    def data(self, data: memoryview) -> None:
        if self._file is not None:
            self._file.write(data)
            if self._file.size > self._picture_bytes:
                raise TooLarge(
                    f"{self._name[:60]} is larger than {self._picture_bytes:,} bytes, the most a picture may have",
                    param=self._name[:60],
                )
        elif self._text is not None:
            self._text_left -= len(data)
            if self._text_left < 0:
                raise TooLarge(f"the form's texts are longer than {self._limits.text_bytes:,} bytes together")
            self._text += data

    def end(self) -> None:
        if self._text is not None:
            try:
                self._add(self._name, self._text.decode())
            except UnicodeDecodeError:
                raise BadRequest(f"{self._name[:60]} is not UTF-8 text", param=self._name[:60]) from None
        self._text = self._file = None

    def _add(self, name: str, value: str) -> None:
        if value.startswith("data:") and ";base64," in value[:256]:
            value = self._inline(name, value)
        fields = self.body.fields
        known = fields.get(name)
        if known is None:
            fields[name] = value
        elif isinstance(known, list):
            known.append(value)
        else:
            fields[name] = [known, value]

    def _inline(self, name: str, value: str) -> str:
        media_type, data = parse_data_url(value)
        spool = self._open_spool()
        self.body.uploads.append(Upload(name, spool, media_type))
        spool.write(data)
        return mark(len(self.body.uploads) - 1)


def close(uploads: list[Upload]) -> None:
    for upload in uploads:
        if isinstance(upload.source, Spool):
            upload.source.close()


def _is_plain(body: bytes, limits: Limits) -> bool:
    """Most bodies come in one piece and hold no picture: they need no extractor."""
    return len(body) <= limits.text_bytes and is_plain(body, PICTURE_KEYS, data_urls=True)


def _object(text: bytes) -> dict[str, object]:
    text = text.removeprefix(codecs.BOM_UTF8)  # Windows' editors begin files with it (RFC 8259, 8.1: may be ignored)
    if not text.strip():
        raise BadRequest('the body is empty; send a JSON object such as {"model": "…", "prompt": "…"}')
    try:
        fields = msgspec.json.decode(text)
    except RecursionError:
        raise BadRequest("the body is nested too deeply") from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise BadRequest(f"the body is not valid JSON: {error}{_comment_hint(text)}") from None
    if not isinstance(fields, dict):
        raise BadRequest('the body must be a JSON object such as {"model": "…", "prompt": "…"}')
    return fields


def _comment_hint(text: bytes) -> str:
    return "; JSON has no // comments: take them out" if re.search(rb"^\s*//|,\s*//", text, re.MULTILINE) else ""
