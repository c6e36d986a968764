"""Forms read as they flow in: multipart/form-data (RFC 7578, with the frame of RFC 2046), files of any size.

    parser = FormParser(boundary, visitor, part_cap=128)
    async for chunk in body:
        parser.feed(chunk)
    parser.finish()

A file is handed on in slices of the chunks it came in. Held from one chunk to the next are a part's headers until they
are whole, and what may be the beginning of a delimiter: never more than `HEAD_BYTES` and a few.

Lines end with CRLF and nothing else, and whatever two parsers might read differently is refused, not guessed at.
"""

from __future__ import annotations

import re
from enum import Enum
from typing import Protocol
from urllib.parse import unquote

from pictura.core.errors import BadRequest, TooLarge

#: The headers of one part, together.
HEAD_BYTES = 8192
#: How many of them a part may have; RFC 7578 knows three.
HEADERS = 16

_HEAD_END = b"\r\n\r\n"
# Where these repeat they are possessive: what they took they never give back, so no input makes them slow.
_BOUNDARY = re.compile(r"[ -~]{1,200}")
_FOLD = re.compile(r"\r\n[ \t]++")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_HEADER = re.compile(r"([!#$%&'*+.^_`|~0-9A-Za-z-]++):([^\x00-\x08\x0a-\x1f\x7f]*+)")
_QUOTED = r'"([^"\\]*+(?:\\.[^"\\]*+)*+)"'
_PARAMETER = re.compile(rf'[ \t]*+;[ \t]*+(?:([^\s;="]++)[ \t]*+=[ \t]*+(?:{_QUOTED}|([^\s;"]++)))?')
# Before anything else a backslash stands for itself: clients send Windows paths as they are. aiohttp escapes blanks.
_ESCAPED = re.compile(r'\\(["\\ ])')


class State(Enum):
    PREAMBLE = "before the first delimiter: skipped"
    DELIMITER = "behind a delimiter: two bytes tell whether another part comes"
    HEAD = "in a part's headers"
    CONTENT = "in a part's content"
    EPILOGUE = "behind the closing delimiter: ignored"


class Visitor(Protocol):
    """What is told of each part, in order: its beginning, its content in any number of pieces, its end."""

    def begin(self, name: str, filename: str | None, content_type: str) -> None:
        """`filename` None: a text, no file. `content_type`: in lower case and without parameters, "" if not said."""

    def data(self, data: memoryview) -> None:
        """Never empty. Whoever keeps it copies it, or a whole chunk stays in memory."""

    def end(self) -> None: ...


class FormParser:
    """Feed it a body's chunks, then `finish`. More than `part_cap` parts are refused."""

    def __init__(self, boundary: str, visitor: Visitor, *, part_cap: int) -> None:
        if not _BOUNDARY.fullmatch(boundary):
            raise BadRequest(
                "the Content-Type multipart/form-data names no boundary of 1 to 200 printable ASCII characters"
            )
        # It is looked for as a whole: the longer the needle, the further CPython's search skips (4 MB in 0.3 ms, while
        # the four bytes before the boundary alone take 1.9), and no content makes the search slow, as the needle's
        # first byte stands nowhere else in it.
        self._delimiter = b"\r\n--" + boundary.encode()
        self._visitor = visitor
        self._part_cap = part_cap
        self._parts = 0
        self._state = State.PREAMBLE
        # The first delimiter needs no line break before it: the start of the body is as good.
        self._held = b"\r\n"

    def feed(self, chunk: bytes) -> None:
        """Raises BadRequest, TooLarge and whatever the visitor raises; nothing more may be fed then."""
        data, self._held = self._held + chunk, b""
        position = 0
        while position < len(data):
            position = self._read(data, position)

    def finish(self) -> None:
        """Raises BadRequest if the form is not whole."""
        if self._state is State.EPILOGUE:
            return
        hint = "; the boundary that Content-Type names does not stand in it" if self._state is State.PREAMBLE else ""
        raise BadRequest(f"the form ends before its closing boundary{hint}")

    def _read(self, data: bytes, position: int) -> int:
        """One step. Where more is needed for it, the rest is held and read."""
        if self._state is State.DELIMITER:
            return self._read_delimiter(data, position)
        if self._state is State.HEAD:
            return self._read_head(data, position)
        if self._state is State.EPILOGUE:
            return len(data)
        return self._read_content(data, position)

    def _read_content(self, data: bytes, position: int) -> int:
        found = data.find(self._delimiter, position)
        end = found if found >= 0 else self._safe_end(data, position)
        if self._state is State.CONTENT and end > position:
            self._visitor.data(memoryview(data)[position:end])
        if found < 0:
            return self._hold(data, end)
        if self._state is State.CONTENT:
            self._visitor.end()
        self._state = State.DELIMITER
        return found + len(self._delimiter)

    def _safe_end(self, data: bytes, position: int) -> int:
        """Up to here no delimiter can have begun."""
        begun = data.rfind(b"\r", max(position, len(data) - len(self._delimiter) + 1))
        return begun if begun >= 0 and self._delimiter.startswith(data[begun:]) else len(data)

    def _read_delimiter(self, data: bytes, position: int) -> int:
        follows = data[position : position + 2]
        if len(follows) < 2:
            return self._hold(data, position)
        if follows == b"--":
            self._state = State.EPILOGUE
            return len(data)
        # RFC 2046 would have blanks here, for mail relays that pad lines; no client of HTTP writes them.
        if follows != b"\r\n":
            raise BadRequest(f"in the form a boundary is followed by {follows!r}; allowed are CRLF and --")
        self._parts += 1
        if self._parts > self._part_cap:
            raise BadRequest(f"a form has at most {self._part_cap} parts")
        self._state = State.HEAD
        return position

    def _read_head(self, data: bytes, position: int) -> int:
        """From the line break before the first header on, so that a head without headers ends like any other."""
        limit = position + len(b"\r\n") + HEAD_BYTES + len(_HEAD_END)
        end = data.find(_HEAD_END, position, limit)
        if end < 0 and len(data) >= limit:
            raise TooLarge(f"the headers of one part of a form have at most {HEAD_BYTES:,} bytes")
        if end < 0:
            return self._hold(data, position)
        if self._delimiter in data[position:end]:
            raise BadRequest("a part of the form ends within its headers: no empty line closes them")
        self._visitor.begin(*_read_part(data[position + 2 : end]))
        self._state = State.CONTENT
        return end + len(_HEAD_END)

    def _hold(self, data: bytes, position: int) -> int:
        self._held = data[position:]
        return len(data)


def parse_parameters(header: str) -> tuple[str, dict[str, str]]:
    """`form-data; name="image"` is `("form-data", {"name": "image"})`; names in lower case, values as they stand.

    In quoted values `\\"` and `\\\\` are what curl and Python's clients mean by them; what browsers write (`%22`) is
    left as it is. Raises BadRequest.
    """
    header = header.rstrip(" \t")
    value = header.partition(";")[0]
    parameters: dict[str, str] = {}
    position = len(value)
    while position < len(header):
        found = _PARAMETER.match(header, position)
        if found is None:
            raise BadRequest(f"the header {header[:80]!r} cannot be read from {header[position:][:20]!r} on")
        name, quoted, plain = found.groups()
        if name is not None:
            _add(parameters, name.lower(), plain if quoted is None else _ESCAPED.sub(r"\1", quoted))
        position = found.end()
    return value.strip(" \t").lower(), parameters


def _read_part(head: bytes) -> tuple[str, str | None, str]:
    """A part's name, file name and media type."""
    headers = _read_headers(head)
    encoding = headers.get("content-transfer-encoding", "binary").lower()
    if encoding not in ("binary", "8bit", "7bit"):
        raise BadRequest(f"a part of the form is encoded as {encoding[:40]!r}; send its bytes as they are (binary)")
    kind, parameters = parse_parameters(headers.get("content-disposition", ""))
    name = _parameter(parameters, "name")
    if kind != "form-data" or not name:
        raise BadRequest('a part of the form has no name; it needs the header Content-Disposition: form-data; name="…"')
    content_type = headers.get("content-type", "").partition(";")[0].strip(" \t").lower()
    return name, _parameter(parameters, "filename"), content_type


def _read_headers(head: bytes) -> dict[str, str]:
    try:
        text = head.decode()
    except UnicodeDecodeError:
        raise BadRequest("the headers of a part of the form are not UTF-8") from None
    lines = _FOLD.sub(" ", text).split("\r\n") if text else []
    if len(lines) > HEADERS:
        raise TooLarge(f"a part of a form has at most {HEADERS} headers")
    headers: dict[str, str] = {}
    for line in lines:
        found = _HEADER.fullmatch(line)
        if found is None:
            raise BadRequest(f"a part of the form has the header {line[:60]!r}; allowed is Name: value, ended by CRLF")
        _add(headers, found[1].lower(), found[2].strip(" \t"))
    return headers


def _add(known: dict[str, str], name: str, value: str) -> None:
    if name in known:
        raise BadRequest(f"{name[:40]!r} stands twice in the same headers of the form; send it once")
    known[name] = value


def _parameter(parameters: dict[str, str], name: str) -> str | None:
    """What is not ASCII some clients send as `filename*`, beside a poorer `filename`, and older aiohttp as `name*`."""
    extended = parameters.get(f"{name}*")
    return parameters.get(name) if extended is None else _read_extended(extended)


def _read_extended(value: str) -> str:
    """RFC 5987: `UTF-8''caf%C3%A9.png`."""
    charset, *rest = value.split("'", 2)
    if charset.lower() not in ("utf-8", "iso-8859-1") or len(rest) != 2:
        raise BadRequest(f"{value[:60]!r} in a part of the form cannot be read; write it as UTF-8''caf%C3%A9.png")
    try:
        text = unquote(rest[1], charset, "strict")
    except UnicodeDecodeError:
        raise BadRequest(f"{value[:60]!r} in a part of the form is not {charset}") from None
    if _CONTROL.search(text):
        raise BadRequest(f"{value[:60]!r} in a part of the form holds control characters; leave them out")
    return text
