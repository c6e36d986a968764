"""Request bodies that are sent as they are read: no picture is ever whole in memory, in no encoding.

    json_payload({"prompt": "a fox", "image": data_url(spool, "image/png")})
    multipart_payload([Part("prompt", "a fox"), Part("image", spool, filename="fox.png", content_type="image/png")])

The length is known before the first byte, so a request always carries Content-Length: several vendors refuse chunked
uploads. A payload can be read again and again as long as its spools are open; closing them is their owner's business.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Iterable, Iterator, Sequence

import msgspec
import pybase64

from pictura.core.picture import Bytes, Inline
from pictura.infra.spool import CHUNK_BYTES

#: What one step encodes: whole groups of three bytes, so that no padding stands in the middle.
_STEP_BYTES = CHUNK_BYTES // 3 * 3
_UNNAMED_TYPE = "application/octet-stream"
_MEDIA_TYPE = re.compile(r"[!-~]+/[ -~]+")


class Part(msgspec.Struct, frozen=True, eq=False):
    """One field of a form: text, or a file otherwise."""

    name: str
    value: str | Bytes
    filename: str = ""
    content_type: str = ""


def field(name: str, value: object) -> Part:
    """A text as it is; a number, a flag or a list as JSON."""
    return Part(name, value if isinstance(value, str) else msgspec.json.encode(value).decode())


class _Base64:
    """What an `Inline` becomes on the wire."""

    __slots__ = ("_prefix", "_source", "size")

    def __init__(self, inline: Inline) -> None:
        self._source = inline.source
        # It stands inside a JSON string, so it is escaped like one.
        self._prefix = msgspec.json.encode(inline.prefix)[1:-1]
        self.size = len(self._prefix) + (inline.source.size + 2) // 3 * 4

    def chunks(self) -> Iterator[bytes]:
        if self._prefix:
            yield self._prefix
        for chunk in self._source.chunks(_STEP_BYTES):
            yield pybase64.b64encode(chunk)


class Payload:
    """A body: `content_type`, `size` in bytes, and `chunks()`, which can be asked for again."""

    __slots__ = ("_pieces", "content_type", "size")

    def __init__(self, pieces: Iterable[bytes | Bytes | _Base64], content_type: str) -> None:
        self._pieces = _merged(pieces)
        self.content_type = content_type
        self.size = sum(len(piece) if isinstance(piece, bytes) else piece.size for piece in self._pieces)

    def chunks(self) -> Iterator[bytes]:
        for piece in self._pieces:
            if isinstance(piece, bytes):
                yield piece
            else:
                yield from piece.chunks()


def _merged(pieces: Iterable[bytes | Bytes | _Base64]) -> list[bytes | Bytes | _Base64]:
    """Neighbouring bytes become one: every piece is a system call of its own."""
    merged: list[bytes | Bytes | _Base64] = []
    for piece in pieces:
        before = merged[-1] if merged else None
        if isinstance(piece, bytes) and isinstance(before, bytes):
            merged[-1] = before + piece
        else:
            merged.append(piece)
    return merged


def bytes_payload(data: bytes, content_type: str) -> Payload:
    return Payload([data], content_type)


def json_payload(document: object) -> Payload:
    """`document` as JSON, every `Inline` in it as the base64 of its source.

    Raises TypeError for what JSON cannot say.
    """
    inlines: list[Inline] = []
    # The document is encoded with a random word in every picture's place, and cut there: no prompt can guess it.
    mark = b""

    def place(value: object) -> msgspec.Raw:
        nonlocal mark
        if not isinstance(value, Inline):
            raise TypeError(f"a JSON body cannot hold a {type(value).__name__}")
        inlines.append(value)
        mark = mark or secrets.token_hex(16).encode()
        return msgspec.Raw(b'"%b"' % mark)

    text = msgspec.json.encode(document, enc_hook=place)
    texts = text.split(mark) if inlines else [text]
    pieces: list[bytes | Bytes | _Base64] = [texts[0]]
    for inline, following in zip(inlines, texts[1:], strict=True):
        pieces += [_Base64(inline), following]
    return Payload(pieces, "application/json")


def multipart_payload(parts: Sequence[Part]) -> Payload:
    """A form as RFC 7578 has it and as browsers write it: names in UTF-8, quotes and line ends percent-encoded."""
    boundary = f"pictura-{secrets.token_hex(16)}"
    pieces: list[bytes | Bytes | _Base64] = []
    for part in parts:
        value = part.value.encode() if isinstance(part.value, str) else part.value
        pieces += [f"--{boundary}\r\n{_part_head(part)}\r\n\r\n".encode(), value, b"\r\n"]
    pieces.append(f"--{boundary}--\r\n".encode())
    return Payload(pieces, f"multipart/form-data; boundary={boundary}")


def _part_head(part: Part) -> str:
    head = f'Content-Disposition: form-data; name="{_quote(part.name)}"'
    if isinstance(part.value, str) and not part.filename:
        return head
    return f'{head}; filename="{_quote(part.filename or part.name)}"\r\nContent-Type: {_media_type(part.content_type)}'


def _quote(text: str) -> str:
    """Encoding of names in forms: https://html.spec.whatwg.org/#multipart-form-data (2025)."""
    return text.replace("\r", "%0D").replace("\n", "%0A").replace('"', "%22")


def _media_type(claimed: str) -> str:
    """A claim from outside must not bring a line of its own into the request."""
    return claimed if _MEDIA_TYPE.fullmatch(claimed) else _UNNAMED_TYPE
