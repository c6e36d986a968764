"""Base64 pictures cut out of a JSON body as it flows through in chunks.

`Extractor` reads any JSON, in chunks of any size. A picture is decoded into a `Spool` piece by piece; everything else
stays, byte for byte, in the *skeleton*, where a placeholder stands for each picture. The skeleton is small and goes to
an ordinary JSON decoder; `find` tells which of its strings stands for which picture.

Only strings and brackets are read here, so strings begin and end exactly where a JSON decoder would see them, and a
whole string is always replaced by a whole string: the skeleton is valid JSON if and only if the body was.
"""

from __future__ import annotations

import binascii
import codecs
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum
from functools import lru_cache
from typing import NamedTuple

import msgspec
from pybase64 import b64decode

from pictura.core.errors import BadRequest, TooLarge
from pictura.core.request import mark, marked
from pictura.infra.spool import Spool

#: A longer key is nobody's: never wanted, and a picture under it goes without a key.
KEY_BYTES = 256
#: `data:<type>;base64,` is looked for in so many characters …
DATA_URL_CHARACTERS = 256
#: … and `https://` or another scheme in so many.
SCHEME_CHARACTERS = 16
#: Decoders give up before they are this deep, so pictures are no longer looked for.
DEEPEST = 1000
#: `\u002b` is the longest way to write one character.
ESCAPE_BYTES = 6

# What an escaped line break becomes until it is dropped. Dropped at once, it could make a whole escape of two halves.
LINE_BREAK = b"\x7f"
QUOTE, BACKSLASH, COLON, COMMA, OPEN_OBJECT, OPEN_ARRAY = b'"\\:,{['

_NOT_BRACKETS = bytes(set(range(256)) - set(b"{}[]"))
# The repetition is bounded because the engine remembers every turn of it.
_STRING_BYTES = re.compile(rb'[^"\\]*+(?s:\\.[^"\\]*+){0,1000}')
_LEGAL_BYTES = re.compile(rb'[^\x00-\x1f"\\]*+')
_ESCAPE = re.compile(rb'\\(?:u([0-9a-fA-F]{4})|(["\\/bfnrt]))')
_NOT_BASE64 = re.compile(rb"[^A-Za-z0-9+/=]")
# Printable ASCII, but neither a backslash nor `?`: those are left of false escapes and of what `_unescape` cannot show,
# and what leaves the body with the picture must have been legal in JSON.
_DATA_URL = re.compile(rb"data:([ -:<->@-\[\]-~]*)(?:;[ ->@-\[\]-~]*)?;base64", re.IGNORECASE)
_COMMA = re.compile(rb",|\\u002[cC]")
_URL = re.compile(rb"[a-z][a-z0-9+.-]*://")

# What encoders really write: PHP escapes the slash, .NET the plus, Gson the padding, MIME libraries break lines.
_COMMON_ESCAPES = {
    rb"\/": b"/",
    rb"\n": LINE_BREAK,
    rb"\r": LINE_BREAK,
    rb"\u002B": b"+",
    rb"\u002b": b"+",
    rb"\u003D": b"=",
    rb"\u003d": b"=",
}
_ESCAPED = {b"/": b"/", b"n": LINE_BREAK, b"r": LINE_BREAK, b"t": LINE_BREAK}
_URL_SAFE_TO_STANDARD = bytes.maketrans(b"-_", b"+/")


class State(Enum):
    STRUCTURE = "between strings"
    STRING = "inside a string that stays"
    PICTURE = "inside a string that is cut"
    REST = "no JSON, or deeper than any decoder follows: all of it stays"


class Verdict(Enum):
    UNDECIDED = "more of it is needed"
    TEXT = "it stays"
    PICTURE = "it is cut"


class Head(NamedTuple):
    """What the beginning of a string value tells. The base64 begins `skip` bytes after the quote."""

    verdict: Verdict
    skip: int = 0
    media_type: str = ""


@dataclass(slots=True)
class Cut:
    """A picture that was cut out."""

    #: The decoded bytes; `media_type` is the data URL's, "" for bare base64.
    spool: Spool
    #: The key whose value it was; inside an array, the key of the array; "" where there is none.
    key: str
    #: Why this is not valid base64, "" where it is. The spool then holds some of what came before the flaw.
    flaw: str = ""


def find(value: object, cuts: Sequence[Cut]) -> Cut | None:
    """The cut that a value of the decoded skeleton stands for, None for every other value.

    A client may well write such a mark by hand: it names nothing but a picture of the same body.
    """
    index = marked(value)
    return None if index is None or index >= len(cuts) else cuts[index]


def is_plain(body: bytes, keys: frozenset[str], *, data_urls: bool = False) -> bool:
    """Certain, at a glance, that an extractor would leave this whole small body as it is."""
    if b"\\u" in body or (data_urls and b"data:" in body):
        return False  # a key may be written with escapes
    return not any(key.encode() in body for key in keys)


class Extractor:
    """Feed it a body's chunks, `finish`, and `close` it when the pictures are no longer needed.

    Cut are the string values of `keys` and those in arrays that are, bare base64 or data URLs, unless they are empty or
    a URL of another scheme; with `data_urls`, also every string value that begins `data:<type>;base64,`, wherever.
    `text_cap` is in bytes of skeleton, `picture_cap` in decoded bytes of one picture. Memory is bounded by `text_cap`
    and a few times the largest chunk.
    """

    def __init__(
        self,
        open_spool: Callable[[], Spool],
        *,
        keys: frozenset[str] = frozenset({"b64_json"}),
        data_urls: bool = False,
        text_cap: int,
        picture_cap: int,
        picture_count_cap: int,
    ) -> None:
        self.cuts: list[Cut] = []
        self._open_spool = open_spool
        self._keys = keys
        self._data_urls = data_urls
        self._text_cap = text_cap
        self._picture_cap = picture_cap
        self._picture_count_cap = picture_count_cap
        self._dull = _dull_items(keys, data_urls)
        self._state = State.STRUCTURE
        self._text = bytearray()
        #: The end of a chunk that makes sense only with the next one: never more than a key or the head of a string.
        self._held = b""
        self._ended = False
        #: One entry a container: an array's key, None for an object.
        self._containers: list[str | None] = []
        self._key = ""
        #: The last byte outside of strings that was not white space: after a colon comes no key.
        self._before = COMMA
        self._picture: _Base64 | None = None

    def feed(self, chunk: bytes) -> None:
        """Raises TooLarge when a cap is passed; the extractor is then good for `close` only."""
        data, self._held = self._held + chunk, b""
        self._read(data)

    def finish(self) -> bytes:
        """The skeleton. Of a truncated body it is truncated too, and a picture that was open has a flaw."""
        self._ended = True
        data, self._held = self._held, b""
        self._read(data)
        if self._state is State.PICTURE:
            self.cuts[-1].flaw = self.cuts[-1].flaw or "it ends before its closing quote"
        else:
            self._text += self._held
        return bytes(self._text)

    def close(self) -> None:
        for cut in self.cuts:
            cut.spool.close()

    def _read(self, data: bytes) -> None:
        position = 0
        while position < len(data):
            if self._state is State.PICTURE:
                position = self._read_picture(data, position)
            elif self._state is State.STRUCTURE:
                position = self._read_structure(data, position)
            elif self._state is State.STRING:
                position = self._read_string(data, position)
            else:
                position = self._keep(data, position, len(data))
        if len(self._text) > self._text_cap:
            raise TooLarge(
                f"The JSON is larger than the {self._text_cap} bytes allowed, pictures not counted: shorten its text."
            )

    # Each of the following reads from `position` and answers where to go on.

    def _keep(self, data: bytes, position: int, end: int) -> int:
        self._text += data[position:end]
        return end

    def _hold(self, data: bytes, position: int) -> int:
        self._held = data[position:]
        return len(data)

    def _read_structure(self, data: bytes, position: int) -> int:
        dull = (_DULL_ELEMENTS if self._in_wanted_array() else self._dull).match(data, position)
        if dull:
            self._before = data[dull.end() - 1]
            return self._keep(data, position, dull.end())
        quote = data.find(b'"', position)
        gap = data[position:quote] if quote >= 0 else data[position:]
        self._pass_gap(gap)
        self._text += gap
        if quote < 0 or self._state is State.REST:
            return position + len(gap)
        if self._before == QUOTE:
            self._state = State.REST
            return quote
        if self._in_object() and self._before != COLON:
            return self._read_key(data, quote)
        return self._read_value(data, quote)

    def _in_object(self) -> bool:
        return bool(self._containers) and self._containers[-1] is None

    def _in_wanted_array(self) -> bool:
        return bool(self._containers) and self._containers[-1] in self._keys

    def _pass_gap(self, gap: bytes) -> None:
        for bracket in gap.translate(None, _NOT_BRACKETS):
            if bracket == OPEN_OBJECT:
                self._containers.append(None)
            elif bracket == OPEN_ARRAY:
                self._containers.append(self._key)
            else:
                self._leave_container()
            if len(self._containers) > DEEPEST:
                self._state = State.REST
                return
        self._before = (gap.rstrip() or (self._before,))[-1]

    def _leave_container(self) -> None:
        if self._containers:
            self._containers.pop()
        # An array's key holds for all of its elements, whatever keys came within them.
        self._key = (self._containers[-1] if self._containers else "") or ""

    def _read_key(self, data: bytes, quote: int) -> int:
        end = _closing_quote(data, quote + 1)
        size = (len(data) if end < 0 else end) - quote
        if end < 0 and size <= KEY_BYTES:
            return self._hold(data, quote)
        self._key = _key_text(data[quote + 1 : end]) if size <= KEY_BYTES else ""
        return self._read_text(data, quote)

    def _read_value(self, data: bytes, quote: int) -> int:
        wanted = self._key in self._keys
        if not wanted and not self._data_urls:
            return self._read_text(data, quote)
        head = self._judge(data, quote + 1, wanted)
        if head.verdict is Verdict.UNDECIDED:
            return self._hold(data, quote)
        if head.verdict is Verdict.TEXT:
            return self._read_text(data, quote)
        self._open_cut(head.media_type)
        return quote + 1 + head.skip

    def _judge(self, data: bytes, start: int, wanted: bool) -> Head:
        value = data[start : start + DATA_URL_CHARACTERS * ESCAPE_BYTES]
        end = _closing_quote(value, 0)
        whole = self._ended or end >= 0 or len(value) == DATA_URL_CHARACTERS * ESCAPE_BYTES
        return _judge_head(value[: end if end >= 0 else _open_escape(value, 0)], whole, wanted)

    def _read_text(self, data: bytes, quote: int) -> int:
        self._text += b'"'
        self._state = State.STRING
        return self._read_string(data, quote + 1)

    def _read_string(self, data: bytes, position: int) -> int:
        end = _closing_quote(data, position)
        if end < 0:
            return self._hold(data, self._keep(data, position, _open_escape(data, position)))
        self._close_string()
        return self._keep(data, position, end + 1)

    def _read_picture(self, data: bytes, position: int) -> int:
        assert self._picture is not None
        end = _closing_quote(data, position)
        if end < 0:
            stop = _open_escape(data, position)
            self._held = self._picture.decode(data[position:stop], last=False) + data[stop:]
            return len(data)
        self._picture.decode(data[position:end], last=True)
        if not self._picture.legal:
            self._text += b"\x00"
        self._picture = None
        self._close_string()
        return self._keep(data, end, end + 1)

    def _close_string(self) -> None:
        self._state = State.STRUCTURE
        self._before = QUOTE

    def _open_cut(self, media_type: str) -> None:
        if len(self.cuts) >= self._picture_count_cap:
            raise BadRequest(
                f"There are more than {self._picture_count_cap} pictures: send at most {self._picture_count_cap}.",
                param=self._key or None,
            )
        cut = Cut(self._open_spool(), self._key)
        cut.spool.media_type = media_type
        self._text += b'"' + mark(len(self.cuts)).encode()
        self.cuts.append(cut)
        self._picture = _Base64(cut, self._picture_cap)
        self._state = State.PICTURE


class _Base64:
    """Decodes the inside of one JSON string into a cut's spool."""

    __slots__ = ("_cap", "_cut", "_utf8", "legal")

    def __init__(self, cut: Cut, cap: int) -> None:
        self._cut = cut
        self._cap = cap
        self._utf8 = codecs.getincrementaldecoder("utf-8")()
        #: A JSON decoder would have taken the string.
        self.legal = True

    def decode(self, raw: bytes, *, last: bool) -> bytes:
        """Decode what can be; the rest, up to four characters, is to come again before what follows."""
        if LINE_BREAK in raw:
            self._cut.flaw = _flaw_of(raw)  # sent as such it is no line break of ours
        if self._cut.flaw:
            return self._pass_over(raw, last=last)
        text = _unescape(raw)
        try:
            return self._write(text, last=last)
        except binascii.Error:
            text = text.translate(_URL_SAFE_TO_STANDARD, LINE_BREAK)
        try:
            return self._write(text, last=last)
        except binascii.Error:
            self._cut.flaw = _flaw_of(text)
            return self._pass_over(raw, last=last)

    def _write(self, text: bytes, *, last: bool) -> bytes:
        # Up to four characters stay behind, so that padding is seen only where it belongs, in the last piece.
        size = len(text) if last else max(0, len(text) - 1) & ~3
        decoded = b64decode(_padded(text) if last else memoryview(text)[:size], validate=True)
        if not last and len(decoded) * 4 != size * 3:
            raise binascii.Error("padding before the end")
        if self._cut.spool.size + len(decoded) > self._cap:
            raise TooLarge(
                f"A picture is larger than the {self._cap} bytes allowed: send a smaller one.",
                param=self._cut.key or None,
            )
        self._cut.spool.write(decoded)
        return text[size:].replace(LINE_BREAK, b"")

    def _pass_over(self, raw: bytes, *, last: bool) -> bytes:
        """Nothing more is decoded, only looked at: what no JSON decoder takes must not become JSON by being cut out."""
        try:
            self._utf8.decode(raw, last)
        except UnicodeDecodeError:
            self.legal = False
        if not _LEGAL_BYTES.fullmatch(_ESCAPE.sub(b"", raw)):
            self.legal = False
        return b""


def _judge_head(value: bytes, whole: bool, wanted: bool) -> Head:
    """Judge a string by its first bytes; `whole` says that no more of them will come."""
    start = _unescape(value[: SCHEME_CHARACTERS * ESCAPE_BYTES])[:SCHEME_CHARACTERS].lower()
    if start.startswith(b"data:"):
        return _judge_data_url(value, whole)
    if not whole and (b"data:".startswith(start) or (wanted and len(start) < SCHEME_CHARACTERS)):
        return Head(Verdict.UNDECIDED)
    if not wanted or not start or _URL.match(start):
        return Head(Verdict.TEXT)
    return Head(Verdict.PICTURE)


def _judge_data_url(value: bytes, whole: bool) -> Head:
    comma = _COMMA.search(value)
    if comma is None:
        return Head(Verdict.TEXT if whole else Verdict.UNDECIDED)
    header = _unescape(value[: comma.start()])
    found = _DATA_URL.fullmatch(header) if len(header) < DATA_URL_CHARACTERS else None
    if found is None:
        return Head(Verdict.TEXT)
    return Head(Verdict.PICTURE, comma.end(), found[1].decode())


def _closing_quote(data: bytes, position: int) -> int:
    """Where the string that `position` is in ends, -1 if not in `data`."""
    quote = data.find(b'"', position)
    if quote <= position or data[quote - 1] != BACKSLASH:
        return quote
    # That quote is escaped, or an escaped backslash precedes it: only reading from the start tells.
    while (run := _STRING_BYTES.match(data, position)) and run.end() > position:
        position = run.end()
    return position if data[position : position + 1] == b'"' else -1


def _open_escape(data: bytes, position: int) -> int:
    """Where an escape begins that the end of `data` cuts in two; the length of `data` where none does."""
    backslash = data.rfind(b"\\", max(position, len(data) - ESCAPE_BYTES + 1))
    if backslash < 0:
        return len(data)
    string = data[position : backslash + 1]
    starts_escape = (len(string) - len(string.rstrip(b"\\"))) % 2 == 1
    size = ESCAPE_BYTES if data[backslash + 1 : backslash + 2] == b"u" else 2
    return backslash if starts_escape and backslash + size > len(data) else len(data)


def _unescape(text: bytes) -> bytes:
    """With the characters instead of their escapes; `?` for those that are not printable ASCII, and for `"` and `\\`.

    So nothing that JSON gives a meaning is made, and what comes out may be read as the inside of a string once more.
    A false escape stays as it is.
    """
    if b"\\" not in text:
        return text
    plain, kinds = text, dict(_COMMON_ESCAPES)
    while (backslash := plain.find(b"\\")) >= 0:
        escape = plain[backslash : backslash + (ESCAPE_BYTES if plain[backslash + 1 : backslash + 2] == b"u" else 2)]
        # Each kind once: what then still looks like it began with the second half of an escaped backslash.
        character = kinds.pop(escape, None)
        if character is None:
            return _ESCAPE.sub(_unescaped, text)
        plain = character.join(plain.split(escape))  # half as long as `replace` takes
    return plain


def _unescaped(escape: re.Match[bytes]) -> bytes:
    if escape[1] is None:
        return _ESCAPED.get(escape[2], b"?")
    character = chr(int(escape[1], 16))
    if character in "\t\r\n":
        return LINE_BREAK
    return character.encode() if " " <= character <= "~" and character not in '"\\' else b"?"


def _padded(text: bytes) -> bytes:
    """The last characters of a picture with the padding they should have."""
    if len(text) % 4 == 0:
        return text
    body = text.rstrip(b"=")
    missing = -len(body) % 4
    if missing == 3 or len(text) - len(body) > missing:
        raise binascii.Error("no padding helps")
    return body + b"=" * missing


def _flaw_of(text: bytes) -> str:
    if _NOT_BASE64.search(text):
        return "it holds characters that are not base64"
    if b"=" in text:
        return "it has padding where none belongs"
    return "its last character stands alone: some are missing"


def _key_text(raw: bytes) -> str:
    if b"\\" not in raw:
        return raw.decode(errors="replace")
    try:
        return msgspec.json.decode(b'"%b"' % raw, type=str)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return ""


def _dull_runs(item: bytes) -> re.Pattern[bytes]:
    """Members and elements that can hold no picture, each after a comma: passed over by the hundred, not one by one."""
    return re.compile(rb"(?:\s*+,\s*+%b(?=\s*+[,\]}])){1,1000}" % item)


_SCALAR = rb'[^"{}\[\],:\\]*+'
#: Of an array whose strings are pictures.
_DULL_ELEMENTS = _dull_runs(rb'(?:""|%b)' % _SCALAR)


@lru_cache
def _dull_items(keys: frozenset[str], data_urls: bool) -> re.Pattern[bytes]:
    """Of everything else. Not dull are wanted keys, keys that an escape may disguise, containers and, with `data_urls`,
    what may be one.
    """
    wanted = b"|".join(re.escape(key.encode()) for key in sorted(keys))
    key = rb'"(?!(?:%b)")[^"\\]*+"\s*+:\s*+' % wanted
    not_picture = rb'(?!(?i:data:)|[^"\\]{0,4}\\)' if data_urls else b""
    string = rb'"%b[^"\\]*+(?s:\\.[^"\\]*+){0,9}"' % not_picture
    return _dull_runs(rb"(?:%b)?(?:%b|%b)" % (key, string, _SCALAR))
