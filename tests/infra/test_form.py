"""The form parser against a plain one, at any chunking; then what clients write, and each promise by itself."""

from __future__ import annotations

import asyncio
import random
import shutil
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from itertools import cycle
from pathlib import Path
from typing import Any, SupportsIndex

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from hypothesis import given
from hypothesis import strategies as st

from pictura.core.errors import BadRequest, PicturaError, TooLarge
from pictura.infra.form import HEAD_BYTES, HEADERS, FormParser, parse_parameters
from pictura.infra.payload import Part, multipart_payload
from pictura.infra.spool import Spool

BOUNDARY = "b-42"
DELIMITER = b"\r\n--b-42"
CHUNKINGS: tuple[tuple[int, ...], ...] = ((1 << 30,), (1,), (2,), (3,), (7,), (64,), (5, 1, 9, 2))
PICTURE = random.Random(1).randbytes(300_000)


@dataclass
class Got:
    """A part as it came."""

    name: str
    filename: str | None = None
    content_type: str = ""
    content: bytes = b""
    ended: bool = True


@dataclass
class Collector:
    """Keeps what it is told, and holds the parser to the order it promised."""

    parts: list[Got] = field(default_factory=list)
    pieces: int = 0
    views: list[memoryview] | None = None

    def begin(self, name: str, filename: str | None, content_type: str) -> None:
        assert all(part.ended for part in self.parts)
        self.parts.append(Got(name, filename, content_type, ended=False))

    def data(self, data: memoryview) -> None:
        assert data
        assert not self.parts[-1].ended
        self.parts[-1].content += data
        self.pieces += 1
        if self.views is not None:
            self.views.append(data)

    def end(self) -> None:
        assert not self.parts[-1].ended
        self.parts[-1].ended = True


def chunks(body: bytes, sizes: tuple[int, ...]) -> Iterator[bytes]:
    position = 0
    for size in cycle(sizes):
        if position >= len(body):
            return
        yield body[position : position + size]
        position += size


def run(body: bytes, sizes: tuple[int, ...], *, boundary: str = BOUNDARY, part_cap: int = 100) -> list[Got]:
    collector = Collector()
    parser = FormParser(boundary, collector, part_cap=part_cap)
    for chunk in chunks(body, sizes):
        parser.feed(chunk)
    parser.finish()
    return collector.parts


def outcome(body: bytes, sizes: tuple[int, ...], *, part_cap: int = 100) -> list[Got] | tuple[type[PicturaError], str]:
    try:
        return run(body, sizes, part_cap=part_cap)
    except PicturaError as error:
        return type(error), error.message


def parse(body: bytes, *, part_cap: int = 100) -> list[Got]:
    """The parts, which must be the same at every chunking."""
    first, *others = (run(body, sizes, part_cap=part_cap) for sizes in CHUNKINGS)
    assert all(other == first for other in others)
    return first


def refused(body: bytes, *, part_cap: int = 100) -> str:
    """The complaint, which must be the same at every chunking."""
    first, *others = (outcome(body, sizes, part_cap=part_cap) for sizes in CHUNKINGS)
    assert all(other == first for other in others)
    assert isinstance(first, tuple), first
    return f"{first[0].__name__}: {first[1]}"


def form(*parts: bytes, preamble: bytes = b"", epilogue: bytes = b"\r\n") -> bytes:
    """Parts, each with its headers, framed."""
    opening = preamble + b"\r\n--b-42\r\n" if preamble else b"--b-42\r\n"
    return opening + (DELIMITER + b"\r\n").join(parts) + DELIMITER + b"--" + epilogue


def with_disposition(parameters: bytes) -> bytes:
    return form(b"Content-Disposition: form-data; " + parameters + b"\r\n\r\nx")


def with_headers(*headers: bytes) -> bytes:
    return form(b"\r\n".join((b'Content-Disposition: form-data; name="a"', *headers)) + b"\r\n\r\nx")


# Known parts, written down and read again.

# Nearly delimiters, whole ones with another line break before them, and what a careless search trips over.
DECOYS = [
    b"\r",
    b"\n",
    b"\r\n",
    b"\r\n--",
    b"\r\n--b-4",
    b"\r\n--b-43",
    b"\n--b-42",
    b"--b-42",
    b"--b-42--",
    b"-",
    b"\r\r",
]
CONTENT = st.lists(st.sampled_from(DECOYS) | st.binary(max_size=12), max_size=12).map(b"".join)
SIZES = st.lists(st.integers(1, 40), min_size=1, max_size=4).map(tuple) | st.sampled_from(CHUNKINGS)
NAMES = st.text(st.characters(exclude_categories=("Cc", "Cs")), min_size=1, max_size=12)


@st.composite
def known_parts(draw: st.DrawFn) -> list[Got]:
    def part() -> Got:
        filename = draw(st.none() | NAMES)
        content_type = "" if filename is None else draw(st.sampled_from(["", "image/png", "application/x-a+b"]))
        return Got(draw(NAMES), filename, content_type, draw(CONTENT.filter(lambda content: DELIMITER not in content)))

    return [part() for _ in range(draw(st.integers(0, 4)))]


def quoted(text: str) -> bytes:
    return b'"%b"' % text.replace("\\", "\\\\").replace('"', '\\"').encode()


def written(part: Got) -> bytes:
    head = b"Content-Disposition: form-data; name=" + quoted(part.name)
    if part.filename is not None:
        head += b"; filename=" + quoted(part.filename)
    if part.content_type:
        head += b"\r\ncontent-type:" + part.content_type.upper().encode() + b" ; charset=utf-8"
    return head + b"\r\n\r\n" + part.content


@given(known_parts(), SIZES, st.sampled_from([b"", b"no\r\npart\r\n-", b"\r\n"]), st.sampled_from([b"", *DECOYS]))
def test_what_was_written_is_read(parts: list[Got], sizes: tuple[int, ...], preamble: bytes, epilogue: bytes) -> None:
    body = form(*map(written, parts), preamble=preamble, epilogue=epilogue) if parts else b"--b-42--" + epilogue
    assert run(body, sizes) == parts


# Anything at all, against a parser that sees the whole of it at once.


def plainly_read(body: bytes) -> list[bytes] | None:
    """Each part's content; None for what is no form."""
    _, *parts = (b"\r\n" + body).split(DELIMITER)
    contents: list[bytes] = []
    for part in parts:
        if part.startswith(b"--"):
            return contents
        head, blank, content = part.partition(b"\r\n\r\n")
        if not blank or head != b"\r\nContent-Disposition: form-data; name=a":
            return None
        contents.append(content)
    return None


PIECES = st.sampled_from(
    [DELIMITER, DELIMITER + b"\r\n", DELIMITER + b"--", b"--b-42", b"Content-Disposition: form-data; name=a\r\n\r\n"]
)


@given(st.lists(PIECES | st.sampled_from(DECOYS) | st.just(b"x"), max_size=12).map(b"".join), SIZES)
def test_any_bytes_are_read_or_refused_as_a_plain_parser_does(body: bytes, sizes: tuple[int, ...]) -> None:
    expected = plainly_read(body)
    got = outcome(body, sizes)
    assert got == outcome(body, (1 << 30,))
    if expected is None:
        assert isinstance(got, tuple)
    else:
        assert isinstance(got, list)
        assert [part.content for part in got] == expected


@given(st.binary(max_size=60), st.binary(max_size=200), SIZES)
def test_no_bytes_bring_another_error_than_a_caller_s(head: bytes, content: bytes, sizes: tuple[int, ...]) -> None:
    for body in (content, form(head + b"\r\n\r\n" + content), with_disposition(head), with_headers(head)):
        outcome(body, sizes)


# Bodies as clients write them.


@dataclass
class Door:
    """A server that reads forms. `parts` are those of the last one."""

    url: str = ""
    content_type: str = ""
    parts: list[Got] = field(default_factory=list)

    async def take(self, request: web.Request) -> web.Response:
        self.content_type, parameters = parse_parameters(request.headers["Content-Type"])
        collector = Collector()
        parser = FormParser(parameters["boundary"], collector, part_cap=100)
        async for chunk in request.content.iter_any():
            parser.feed(chunk)
        parser.finish()
        self.parts = collector.parts
        return web.Response()


@asynccontextmanager
async def open_door() -> AsyncIterator[Door]:
    door = Door()
    application = web.Application()
    application.router.add_post("/", door.take)
    async with TestServer(application, host="127.0.0.1") as server:
        door.url = str(server.make_url("/"))
        yield door


async def posted(body: aiohttp.FormData) -> Door:
    async with open_door() as door, aiohttp.ClientSession() as session, session.post(door.url, data=body) as answer:
        assert answer.status == 200
    assert door.content_type == "multipart/form-data"
    return door


async def test_aiohttp_s_forms() -> None:
    body = aiohttp.FormData()
    body.add_field("prompt", "ein Bär\r\nmit Hut")
    body.add_field('quoted "name" \\', "1")
    body.add_field("image[]", PICTURE, filename="ein Bär.png", content_type="image/png")
    body.add_field("mask", b"", filename="", content_type="image/png")
    assert (await posted(body)).parts == [
        Got("prompt", None, "text/plain", "ein Bär\r\nmit Hut".encode()),
        Got('quoted "name" \\', None, "text/plain", b"1"),
        Got("image[]", "ein%20B%C3%A4r.png", "image/png", PICTURE),
        Got("mask", "", "image/png", b""),
    ]


async def test_aiohttp_s_forms_with_unquoted_fields() -> None:
    body = aiohttp.FormData(quote_fields=False)
    body.add_field('a "größe" \\', PICTURE, filename='ein "Bär".png', content_type="image/png")
    assert (await posted(body)).parts == [Got('a "größe" \\', 'ein "Bär".png', "image/png", PICTURE)]


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
async def test_curl_s_forms(tmp_path: Path) -> None:
    picture = tmp_path / "a picture.png"
    picture.write_bytes(PICTURE)
    fields = ["prompt=ein Bär", "größe=2K", f"image[]=@{picture}", f"mask=@{picture};type=image/x-a;filename=Bär.png"]
    async with open_door() as door:
        options = [option for each in fields for option in ("-F", each)]
        curl = await asyncio.create_subprocess_exec("curl", "-sSf", "--noproxy", "*", *options, door.url)
        assert await curl.wait() == 0
    assert door.parts == [
        Got("prompt", None, "", "ein Bär".encode()),
        Got("größe", None, "", b"2K"),
        Got("image[]", "a picture.png", "image/png", PICTURE),
        Got("mask", "Bär.png", "image/x-a", PICTURE),
    ]


async def test_our_own_forms(tmp_path: Path) -> None:
    spool = Spool(tmp_path)
    spool.write(PICTURE)
    payload = multipart_payload(
        [Part("prompt", "ein Bär"), Part("image[]", spool, filename="Bär.png", content_type="image/png")]
    )
    _, parameters = parse_parameters(payload.content_type)
    body = b"".join(payload.chunks())
    spool.close()
    assert run(body, (1 << 16,), boundary=parameters["boundary"]) == [
        Got("prompt", None, "", "ein Bär".encode()),
        Got("image[]", "Bär.png", "image/png", PICTURE),
    ]


@pytest.mark.parametrize(
    ("parameters", "name", "filename"),
    [
        (b'name="a"', "a", None),
        (b"name=a; filename=b.png", "a", "b.png"),
        (b'NAME="a" ; FileName = "b.png" ;', "a", "b.png"),
        (b'filename="a;name=x.png"; name="a"', "a", "a;name=x.png"),
        # Browsers (WHATWG HTML, 2026-11: percent-encodes quotes and line ends, nothing else).
        (b'name="a%22b"; filename="100%.png"', "a%22b", "100%.png"),
        (b'name="a"; filename="C:\\Users\\me\\b.png"', "a", "C:\\Users\\me\\b.png"),
        ('name="größe"; filename="日本.png"'.encode(), "größe", "日本.png"),
        # Older curl and Python clients escape with backslashes.
        (b'name="a\\"b\\\\c"; filename="\\"\\\\"', 'a"b\\c', '"\\'),
        (b"name=a; filename=\"x.png\"; filename*=UTF-8''caf%C3%A9%201.png", "a", "café 1.png"),
        (b"name=a; filename*=iso-8859-1'en'caf%E9.png; filename=x", "a", "café.png"),
        (b"name*=utf-8''gr%C3%B6%C3%9Fe", "größe", None),
        (b'name="a"; filename=""', "a", ""),
    ],
)
def test_names(parameters: bytes, name: str, filename: str | None) -> None:
    assert parse(with_disposition(parameters)) == [Got(name, filename, "", b"x")]


@pytest.mark.parametrize("encoding", [b"binary", b"8bit", b"7BIT", b" Binary "])
def test_transfer_encodings_that_encode_nothing(encoding: bytes) -> None:
    assert parse(with_headers(b"Content-Transfer-Encoding: " + encoding)) == [Got("a", content=b"x")]


def test_headers_it_does_not_know_and_folded_ones() -> None:
    body = with_headers(b"Content-Length: 7", b"x-note: \xc3\xa4", b"Content-Type:image/PNG;\r\n\t charset=x")
    assert parse(body) == [Got("a", None, "image/png", b"x")]


@pytest.mark.parametrize("body", [b"--b-42--", b"\r\n--b-42--", b"text\r\n--b-42--\r\n", b"--b-42--\r\n--b-42\r\n"])
def test_a_form_without_parts(body: bytes) -> None:
    assert parse(body) == []


def test_what_stands_before_and_behind_the_parts_is_skipped() -> None:
    part = b"Content-Disposition: form-data; name=a\r\n\r\nx"
    body = form(part, preamble=b"--b-4 x--b-42\r\n\r\n", epilogue=b"\r\n" + form(part) * 3)
    assert parse(body, part_cap=1) == [Got("a", content=b"x")]


def test_content_that_is_nearly_a_delimiter() -> None:
    content = b"--b-42\r\n\r\n--b-4\r\n--b-\r\n-\r\n\r" + b"\r\n--b-4" * 50 + b"\r\n-b-42\n--b-42--"
    assert parse(form(b"Content-Disposition: form-data; name=a\r\n\r\n" + content)) == [Got("a", content=content)]


# What is refused.


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"--b-42",
        b"--b-42\r",
        b"--b-42-",
        with_disposition(b"name=a")[:-4],
        form(b"")[:8],
        b"--b-42\r\nContent-Disp",
    ],
)
def test_a_form_that_is_not_whole(body: bytes) -> None:
    assert refused(body).startswith("BadRequest: the form ends before its closing boundary")


@pytest.mark.parametrize("body", [b"", b"--other\r\n\r\n--other--\r\n", b"x--b-42--", b"\n--b-42--"])
def test_a_form_without_its_boundary(body: bytes) -> None:
    assert "the boundary that Content-Type names does not stand in it" in refused(body)


@pytest.mark.parametrize("follows", [b"\n", b" \r\n", b"x\r\n", b"-\r\n", b"\r\r\n", b"0--"])
def test_what_may_not_follow_a_boundary(follows: bytes) -> None:
    part = follows + b"Content-Disposition: form-data; name=a\r\n\r\nx"
    assert "a boundary is followed by" in refused(b"--b-42" + part + DELIMITER + b"--")
    assert "a boundary is followed by" in refused(with_disposition(b"name=a")[:-4] + part)


@pytest.mark.parametrize(
    "parameters",
    [b"filename=b", b'name=""', b"nam=a", b"name*=utf-8''"],
)
def test_a_part_without_a_name(parameters: bytes) -> None:
    assert "has no name" in refused(with_disposition(parameters))


@pytest.mark.parametrize("head", [b"", b"Content-Type: text/plain", b"Content-Disposition: attachment; name=a"])
def test_a_part_that_is_no_field(head: bytes) -> None:
    assert "Content-Disposition: form-data" in refused(form(head + b"\r\n\r\nx"))


@pytest.mark.parametrize(
    "parameters",
    [b'name="a', b'name="a\\"', b'name="a"b', b"name=", b"name", b"name=a b", b"=a", b"name=a; =b", b'na"me=a'],
)
def test_parameters_that_cannot_be_read(parameters: bytes) -> None:
    assert "cannot be read from" in refused(with_disposition(parameters))


@pytest.mark.parametrize(
    ("parameters", "complaint"),
    [
        (b"name*=a", "cannot be read"),
        (b"name*=utf-8'a", "cannot be read"),
        (b"name*=koi8-r''a", "cannot be read"),
        (b"name*=utf-8''%FF", "is not utf-8"),
        (b"name=a; filename*=utf-8''a%0D%0Ab", "control characters"),
        (b"name=a; filename*=utf-8''%00", "control characters"),
        (b"name=a; Name=b", "twice"),
        (b"name=a; filename=b; filename=b", "twice"),
    ],
)
def test_names_that_are_refused(parameters: bytes, complaint: str) -> None:
    assert complaint in refused(with_disposition(parameters))


@pytest.mark.parametrize(
    "header",
    [
        b"no colon",
        b"a b: c",
        b": c",
        b"a : c",
        b"a: b\nc: d",
        b"a: b\rc",
        b"a: \x00",
        b"a: \x7f",
        "ä: b".encode(),
        b" ",
    ],
)
def test_headers_that_are_none(header: bytes) -> None:
    if header != b" ":  # behind another header it is a fold
        assert "allowed is Name: value" in refused(with_headers(header))
    assert "allowed is Name: value" in refused(form(header + b"\r\nContent-Disposition: form-data; name=a\r\n\r\nx"))


def test_other_headers_that_are_refused() -> None:
    assert "is encoded as 'base64'" in refused(with_headers(b"Content-Transfer-Encoding: BASE64"))
    assert "is encoded as 'quoted-printable'" in refused(with_headers(b"Content-Transfer-Encoding: quoted-printable"))
    assert "twice" in refused(with_headers(b"content-disposition: form-data; name=b"))
    assert "not UTF-8" in refused(with_disposition(b"name=\xe4"))


def test_a_part_that_ends_within_its_headers() -> None:
    head = b"Content-Disposition: form-data; name=a"
    whole = head + b"\r\n\r\nx"
    assert "ends within its headers" in refused(form(head, whole))
    assert "has no name" in refused(form(b"", whole))
    # With such a boundary the delimiter's line looks like a header.
    body = form(head, whole).replace(b"--b-42", b"--b:42")
    with pytest.raises(BadRequest, match="ends within its headers"):
        run(body, (1,), boundary="b:42")


@pytest.mark.parametrize("boundary", ["", "a" * 201, "a\r\nb", "a\tb", "ä", "a\n"])
def test_boundaries_that_are_none(boundary: str) -> None:
    with pytest.raises(BadRequest, match="names no boundary of 1 to 200"):
        FormParser(boundary, Collector(), part_cap=1)


@pytest.mark.parametrize("boundary", ["a", "-", "--", "a b", "=_(')+,./:?", "-" * 200])
def test_boundaries_of_every_kind(boundary: str) -> None:
    part = b"Content-Disposition: form-data; name=a\r\n\r\n--\r\n-\r\n"
    body = form(part, part).replace(b"b-42", boundary.encode())
    for sizes in CHUNKINGS:
        assert run(body, sizes, boundary=boundary) == [Got("a", content=b"--\r\n-\r\n")] * 2


@pytest.mark.parametrize(
    ("header", "value", "parameters"),
    [
        ("Multipart/Form-Data; boundary=a", "multipart/form-data", {"boundary": "a"}),
        ("multipart/form-data;boundary=----=_Part_1.2;", "multipart/form-data", {"boundary": "----=_Part_1.2"}),
        ('multipart/form-data; q=1; BOUNDARY="a b"', "multipart/form-data", {"q": "1", "boundary": "a b"}),
        (" text/plain ", "text/plain", {}),
        ("", "", {}),
    ],
)
def test_parameters(header: str, value: str, parameters: dict[str, str]) -> None:
    assert parse_parameters(header) == (value, parameters)


# Caps.


def test_no_more_parts_than_the_cap() -> None:
    part = b"Content-Disposition: form-data; name=a\r\n\r\nx"
    assert len(parse(form(*[part] * 3), part_cap=3)) == 3
    assert refused(form(*[part] * 4), part_cap=3) == "BadRequest: a form has at most 3 parts"


def test_no_more_headers_than_the_cap() -> None:
    assert parse(with_headers(*(b"x-%d: y" % number for number in range(HEADERS - 1))))
    too_many = with_headers(*(b"x-%d: y" % number for number in range(HEADERS)))
    assert refused(too_many) == f"TooLarge: a part of a form has at most {HEADERS} headers"


def test_no_more_bytes_of_headers_than_the_cap() -> None:
    def body(size: int) -> bytes:
        head = b"Content-Disposition: form-data; name=a\r\nx: "
        return form(head.ljust(size, b"y") + b"\r\n\r\nx")

    sizes = ((1 << 30,), (1,), (HEAD_BYTES,), (HEAD_BYTES + 13, 1))
    for chunking in sizes:
        assert run(body(HEAD_BYTES), chunking)
        for longer in (1, 2, 5, 100_000):
            with pytest.raises(TooLarge, match="at most 8,192 bytes"):
                run(body(HEAD_BYTES + longer), chunking)


def test_headers_without_an_end_are_not_collected() -> None:
    parser = FormParser(BOUNDARY, Collector(), part_cap=1)
    parser.feed(b"--b-42\r\n" + b"x" * HEAD_BYTES)
    parser.feed(b"\r\n\r")
    with pytest.raises(TooLarge):
        parser.feed(b"x")


# What it costs.


def test_content_is_handed_on_without_a_copy() -> None:
    collector = Collector(views=[])
    parser = FormParser(BOUNDARY, collector, part_cap=1)
    parser.feed(with_disposition(b"name=a; filename=b")[: -len(b"x\r\n--b-42--\r\n")])
    fed = [*chunks(PICTURE, (50_000,)), b"no delimiter begins here\r\n-+", b"nor here\r\n--b-43"]
    for chunk in fed:
        parser.feed(chunk)
    assert collector.views is not None
    assert [view.obj for view in collector.views] == fed
    assert all(view.obj is chunk for view, chunk in zip(collector.views, fed, strict=True))


class Watched(bytes):
    """A chunk that counts the bytes searched and copied in it and in what is made of it."""

    work = 0

    def find(self, sub: Any, start: Any = 0, stop: Any = None, /) -> int:
        stop = len(self) if stop is None else min(stop, len(self))
        found = super().find(sub, start, stop)
        Watched.work += (stop if found < 0 else found + len(sub)) - start
        return found

    def rfind(self, sub: Any, start: Any = 0, stop: Any = None, /) -> int:
        Watched.work += len(self) - start
        return super().rfind(sub, start, stop)

    def __getitem__(self, key: SupportsIndex | slice) -> Any:
        part = super().__getitem__(key)
        Watched.work += len(part) if isinstance(part, bytes) else 1
        return part

    def __radd__(self, before: bytes) -> Watched:
        Watched.work += len(before) and len(before) + len(self)
        return Watched(bytes(before) + bytes(self))


def work(body: bytes, size: int, boundary: str) -> tuple[int, int]:
    """Bytes searched and copied, and calls made, to read `body` in chunks of `size`."""
    calls = 0

    def count(_frame: object, event: str, _argument: object) -> None:
        nonlocal calls
        calls += event in ("call", "c_call")

    class Sink(Collector):
        def data(self, data: memoryview) -> None:
            """Dropped: what it costs to keep it is not counted."""

    fed = [Watched(chunk) for chunk in chunks(body, (size,))]
    parser = FormParser(boundary, Sink(), part_cap=100)
    Watched.work = 0
    before = sys.getprofile()
    sys.setprofile(count)
    try:
        for chunk in fed:
            parser.feed(chunk)
        parser.finish()
    finally:
        sys.setprofile(before)
    return Watched.work, calls


@pytest.mark.parametrize("boundary", ["a", "a" * 70, "-" * 70])
@pytest.mark.parametrize("hostile", [b"\r\n--", b"\r\n", b"\r", b"-", b"\r\n--{most}", b"{most}", b"{most}\r"])
def test_the_work_is_linear_whatever_the_content(hostile: bytes, boundary: str) -> None:
    hostile = hostile.replace(b"{most}", boundary[:-1].encode())
    for size in (61, 1000, 4096):
        for length in (20_000, 200_000):
            content = (hostile * length)[:length]
            body = form(b"Content-Disposition: form-data; name=a\r\n\r\n" + content).replace(b"b-42", boundary.encode())
            searched_and_copied, calls = work(body, size, boundary)
            held = len(DELIMITER) + len(boundary)
            fed = len(body) // size + 1
            # Once to search, once to join; and in each chunk a few times what a delimiter has.
            assert searched_and_copied <= 2 * len(body) + 6 * held * fed + 1000
            assert calls <= 40 * fed + 300
