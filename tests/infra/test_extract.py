"""The extractor against a plain parser, at any chunking; then each promise by itself."""

from __future__ import annotations

import base64
import binascii
import json
import random
import re
import tempfile
import tracemalloc
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import cycle
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pictura.core.errors import BadRequest, TooLarge
from pictura.core.request import mark
from pictura.infra.extract import DATA_URL_CHARACTERS, DEEPEST, KEY_BYTES, Cut, Extractor, find, is_plain
from pictura.infra.spool import MEMORY_BYTES, Spool

KEYS = frozenset({"b64_json", "image"})
PICTURE = random.Random(1).randbytes(300)
BASE64 = base64.b64encode(PICTURE).decode()
assert {"+", "/"} < set(BASE64)

CHUNKINGS: tuple[tuple[int, ...], ...] = ((1 << 30,), (1,), (2,), (3,), (7,), (64,), (5, 1, 9, 2))


@dataclass
class Outcome:
    skeleton: bytes
    keys: list[str] = field(default_factory=list)
    pictures: list[bytes] = field(default_factory=list)
    media_types: list[str] = field(default_factory=list)
    flaws: list[str] = field(default_factory=list)


class Pairs(list[tuple[str, object]]):
    """An object of the plain parser: with all of its members, twice the same key too."""


def an_extractor(
    *,
    data_urls: bool = False,
    keys: frozenset[str] = KEYS,
    text_cap: int = 1 << 25,
    picture_cap: int = 1 << 25,
    picture_count_cap: int = 100,
) -> Extractor:
    folder = Path(tempfile.gettempdir())
    return Extractor(
        lambda: Spool(folder),
        keys=keys,
        data_urls=data_urls,
        text_cap=text_cap,
        picture_cap=picture_cap,
        picture_count_cap=picture_count_cap,
    )


def chunks(body: bytes, sizes: tuple[int, ...]) -> Iterator[bytes]:
    position = 0
    for size in cycle(sizes):
        if position >= len(body):
            return
        yield body[position : position + size]
        position += size


def run(body: bytes, sizes: tuple[int, ...], *, data_urls: bool = False, keys: frozenset[str] = KEYS) -> Outcome:
    extractor = an_extractor(data_urls=data_urls, keys=keys)
    try:
        for chunk in chunks(body, sizes):
            extractor.feed(chunk)
        outcome = Outcome(extractor.finish())
        for cut in extractor.cuts:
            outcome.keys.append(cut.key)
            outcome.pictures.append(cut.spool.read())
            outcome.media_types.append(cut.spool.media_type)
            outcome.flaws.append(cut.flaw)
        return outcome
    finally:
        extractor.close()


def extract(body: str | bytes, *, data_urls: bool = False, keys: frozenset[str] = KEYS) -> Outcome:
    """The outcome, which must be the same at every chunking (of a flawed picture, only that it is flawed)."""
    body = body.encode() if isinstance(body, str) else body
    first, *others = (run(body, sizes, data_urls=data_urls, keys=keys) for sizes in CHUNKINGS)
    for other in others:
        assert (other.skeleton, other.keys, other.media_types) == (first.skeleton, first.keys, first.media_types)
        assert [bool(flaw) for flaw in other.flaws] == [bool(flaw) for flaw in first.flaws]
        for index, flaw in enumerate(first.flaws):
            assert flaw or other.pictures[index] == first.pictures[index]
    return first


def is_json(body: bytes) -> bool:
    try:
        json.loads(body.decode("utf-8-sig"))
    except ValueError:
        return False
    return True


# The fuzz: bodies of every shape, and a plain parser that says what should have come of them.

SPACE = st.sampled_from(["", "", "", " ", "\n\t", " \r\n "])
DECOYS = [
    "",
    '"b64_json":"QUJD"',
    '\\"b64_json":"',
    "b64_json",
    "data:,x",
    "data:",
    "dat",
    "data: see the image;base64 below, please",
    "https://example.com/a.png",
    "HTTP://example.com/a,b;base64,c",
    "gs://bucket/fox",
    "QQ=A",
    "QQQQQ",
    "A" * 300,
    "data:image/png;x=" + "y" * 300 + ";base64,QUJD",
    mark(0),
]
NAMES = ["b64_json", "image", "image_url", "xb64_json", "b64_jsonx", '"b64_json"', "b64_json\\", "prompt", "data:", ""]


def all_escaped(text: str) -> str:
    units = text.encode("utf-16-be")
    return '"' + "".join(f"\\u{units[i]:02x}{units[i + 1]:02X}" for i in range(0, len(units), 2)) + '"'


@st.composite
def written(draw: st.DrawFn, text: st.SearchStrategy[str]) -> str:
    value = draw(text)
    plain = json.dumps(value)
    return draw(
        st.sampled_from(
            [
                plain,
                json.dumps(value, ensure_ascii=False),
                plain.replace("/", "\\/"),
                plain.replace("+", "\\u002b").replace("/", "\\u002F").replace("=", "\\u003D"),
                all_escaped(value),
            ]
        )
    )


@st.composite
def pictures(draw: st.DrawFn) -> str:
    text = base64.b64encode(draw(st.binary(min_size=1, max_size=200))).decode()
    if draw(st.booleans()):
        text = text.translate({ord("+"): "-", ord("/"): "_"})
    if draw(st.booleans()):
        text = text.rstrip("=")
    if width := draw(st.sampled_from([0, 0, 4, 19, 76])):
        breaks = draw(st.sampled_from(["\n", "\r\n", " ", "\t"]))
        text = breaks.join(text[at : at + width] for at in range(0, len(text), width))
    prefix = draw(st.sampled_from(["", "", "data:image/png;base64,", "DATA:;charset=utf-8;Base64,", "data:;base64,"]))
    return prefix + text


@st.composite
def arrays(draw: st.DrawFn, values: st.SearchStrategy[str]) -> str:
    inner = [draw(SPACE) + value + draw(SPACE) for value in draw(st.lists(values, max_size=5))]
    return f"[{','.join(inner) or draw(SPACE)}]"


@st.composite
def objects(draw: st.DrawFn, values: st.SearchStrategy[str]) -> str:
    members = st.tuples(SPACE, written(st.sampled_from(NAMES)), SPACE, st.just(":"), SPACE, values, SPACE)
    return f"{{{','.join(''.join(member) for member in draw(st.lists(members, max_size=5)))}}}"


LEAVES = (
    written(pictures())
    | written(st.sampled_from(DECOYS))
    | written(st.text(st.characters(codec="utf-8"), max_size=30))
    | st.sampled_from(["null", "true", "-1.5e3", "[]", "{}", "0"])
)
VALUES = st.recursive(LEAVES, lambda values: arrays(values) | objects(values), max_leaves=12)
SIZES = st.just((1,)) | st.just((1 << 30,)) | st.lists(st.integers(1, 90), min_size=1, max_size=8).map(tuple)


def base64_of(value: str, wanted: bool, data_urls: bool) -> tuple[str, str] | None:
    """Media type and base64 of a string that must be cut, None for one that must stay."""
    if value[:5].lower() == "data:":
        header = re.match(r"data:([^,;]*)(?:;[^,]*)?;base64,", value, re.IGNORECASE)
        if header is None or header.end() > DATA_URL_CHARACTERS or re.search(r'[^ -~]|[?"\\]', header[0]):
            return None
        return (header[1], value[header.end() :]) if wanted or data_urls else None
    is_url = re.match(r"[a-z][a-z0-9+.-]*://", value, re.IGNORECASE)
    return ("", value) if wanted and value and not is_url else None


def plain_decode(text: str) -> bytes | None:
    text = re.sub(r"[\t\r\n]", "", text).translate({ord("-"): "+", ord("_"): "/"})
    body = text.rstrip("=")
    missing = -len(body) % 4
    if missing == 3 or len(text) - len(body) > missing:
        return None
    try:
        return base64.b64decode(body + "=" * missing, validate=True)
    except (binascii.Error, ValueError):
        return None


def compare(plain: object, left: object, cuts: list[Cut], data_urls: bool, key: str = "", wanted: bool = False) -> int:
    """Check what is left of a value against the plain parser's; how many pictures were in it."""
    if isinstance(plain, list):
        assert isinstance(left, list) and len(left) == len(plain)
        count = 0
        for one, other in zip(plain, left, strict=True):
            if isinstance(plain, Pairs):
                assert one[0] == other[0]
                count += compare(one[1], other[1], cuts, data_urls, one[0], one[0] in KEYS)
            else:
                count += compare(one, other, cuts, data_urls, key, wanted)
        return count
    found = base64_of(plain, wanted, data_urls) if isinstance(plain, str) else None
    if found is None:
        assert left == plain
        return 0
    cut = find(left, cuts)
    assert cut is not None
    assert (cut.key, cut.spool.media_type) == (key, found[0])
    decoded = plain_decode(found[1])
    assert bool(cut.flaw) is (decoded is None)
    assert decoded is None or cut.spool.read() == decoded
    return 1


def agree(body: bytes, sizes: tuple[int, ...], data_urls: bool) -> None:
    extractor = an_extractor(data_urls=data_urls)
    try:
        for chunk in chunks(body, sizes):
            extractor.feed(chunk)
        left = extractor.finish()
        assert is_json(left) is is_json(body)
        if is_json(body):
            plain, parsed = (json.loads(one, object_pairs_hook=Pairs) for one in (body, left))
            assert compare(plain, parsed, extractor.cuts, data_urls) == len(extractor.cuts)
    finally:
        extractor.close()


@settings(max_examples=500, deadline=None)
@given(body=VALUES, sizes=SIZES, data_urls=st.booleans())
def test_any_body_at_any_chunking_agrees_with_a_plain_parser(
    body: str, sizes: tuple[int, ...], data_urls: bool
) -> None:
    assert is_json(body.encode())
    agree(body.encode(), sizes, data_urls)


DAMAGE = [
    b"",
    b"A",
    b"\xc3",
    b"\xc3\xa9",
    b"\xff",
    b"\n",
    b"\x1f",
    b" ",
    b"=",
    b"!",
    b"\\",
    b"\\u12",
    b"\\/",
    *b'" { } [ ] : ,'.split(),
]


@settings(max_examples=500, deadline=None)
@given(body=VALUES, sizes=SIZES, data_urls=st.booleans(), data=st.data())
def test_a_damaged_body_agrees_too_and_one_that_is_no_json_stays_none(
    body: str, sizes: tuple[int, ...], data_urls: bool, data: st.DataObject
) -> None:
    raw = bytearray(body.encode())
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(raw)))
        raw[at : at + data.draw(st.integers(0, 2))] = data.draw(st.sampled_from(DAMAGE))
    agree(bytes(raw), sizes, data_urls)


@settings(max_examples=100, deadline=None)
@given(body=VALUES, sizes=SIZES, data_urls=st.booleans(), data=st.data())
def test_a_truncated_body_leaves_a_truncated_skeleton(
    body: str, sizes: tuple[int, ...], data_urls: bool, data: st.DataObject
) -> None:
    raw = body.encode()
    cut_off = raw[: data.draw(st.integers(0, len(raw)))]
    whole, outcome = run(raw, sizes, data_urls=data_urls), run(cut_off, sizes, data_urls=data_urls)
    assert is_json(outcome.skeleton) is is_json(cut_off)
    closed = [cut for cut in zip(outcome.keys, outcome.pictures, outcome.flaws, strict=True) if "ends" not in cut[2]]
    assert closed == list(zip(whole.keys, whole.pictures, whole.flaws, strict=True))[: len(closed)]


# Each promise by itself.


@pytest.mark.parametrize("gap", [":", " :", ": ", "\n\t : \r\n"])
def test_white_space_around_the_colon(gap: str) -> None:
    outcome = extract(f'{{"data" : [ {{"b64_json"{gap}"{BASE64}" }} ] }}')
    assert outcome.pictures == [PICTURE] and outcome.keys == ["b64_json"] and outcome.flaws == [""]
    assert json.loads(outcome.skeleton) == {"data": [{"b64_json": mark(0)}]}


@pytest.mark.parametrize(
    "text",
    [
        BASE64.replace("/", "\\/"),
        BASE64.replace("+", "\\u002b"),
        BASE64.replace("+", "\\u002B").replace("/", "\\/"),
        BASE64.replace("/", "\\u002F").replace("+", "\\u002b"),
        BASE64.replace("/", "\\u002f", 1).replace("/", "\\/"),
        "\\n".join(BASE64[at : at + 76] for at in range(0, len(BASE64), 76)) + "\\n",
        "\\r\\n".join(BASE64[at : at + 64] for at in range(0, len(BASE64), 64)),
        "\\u000a\\u000D" + "\\t".join(BASE64),
        "".join(f"\\u{ord(character):04x}" for character in BASE64),
    ],
)
def test_escapes_and_line_breaks_within_base64(text: str) -> None:
    assert json.loads(f'"{text}"').translate(dict.fromkeys(b"\t\r\n")) == BASE64
    outcome = extract(f'{{"b64_json":"{text}","n":1}}')
    assert outcome.pictures == [PICTURE] and outcome.flaws == [""]
    assert json.loads(outcome.skeleton) == {"b64_json": mark(0), "n": 1}


@pytest.mark.parametrize(
    "text", ["QUJD\\\\/QUJ", "\\/AAA\\\\/AAA", "\\u002FAAA\\\\u002FAAA", "AAA\\\\nu002B", "AAA\\\\nr"]
)
def test_an_escaped_backslash_begins_no_escape(text: str) -> None:
    assert "\\" in json.loads(f'"{text}"')
    assert extract(f'{{"b64_json":"{text}"}}').flaws != [""]


@pytest.mark.parametrize("key", ["b64\\u005fjson", "\\u00626\\u0034_json", "b64_jso\\u006E"])
def test_an_escaped_key_is_the_same_key(key: str) -> None:
    outcome = extract(f'{{"a":1,"{key}":"{BASE64}","b":2}}')
    assert outcome.pictures == [PICTURE] and outcome.keys == ["b64_json"]


def test_several_pictures_keep_their_order_and_their_places() -> None:
    originals = [PICTURE[:size] for size in (1, 2, 3, 299, 300)]
    body = {"data": [{"b64_json": base64.b64encode(one).decode(), "text": "ä"} for one in originals], "image": BASE64}
    outcome = extract(json.dumps(body, ensure_ascii=False))
    assert outcome.pictures == [*originals, PICTURE]
    assert outcome.keys == ["b64_json"] * 5 + ["image"]
    left = json.loads(outcome.skeleton)
    assert [one["b64_json"] for one in left["data"]] == [mark(index) for index in range(5)]
    assert left["image"] == mark(5)


@pytest.mark.parametrize(
    "body",
    [
        r'{"prompt":"say \"b64_json\":\"QUJD\" and \"image\" : \"QUJD\""}',
        '{"prompt":"b64_json","x":"image"}',
        '["b64_json","QUJD"]',
        '{"b64_json":null,"image":false}',
        '{"b64_json":12,"x":"QUJD"}',
        '{"b64_json":{"x":"QUJD"},"y":"QUJD"}',
        '{"b64_json":["",[],[""],null,true,12,{},{"x":"QUJD","y":["QUJD"]},[{"x":"QUJD"}]],"z":"QUJD"}',
        '{"x":[{"b64_json":[]},"QUJD",{"image":[1]},["QUJD"]]}',
        '["QUJD",["QUJD"]]',
        '{"xb64_json":"QUJD","b64_jsonx":"QUJD","B64_JSON":"QUJD"}',
        r'{"x\"b64_json":"QUJD","b64_json\\":"QUJD"}',
        '{"b64_json":"","image" : "" }',
        '{"":"QUJD"}',
        '"QUJD"',
        '"data:image/png;base64,QUJD"',
        '{"x":"data:image/png;base64,QUJD"}',
        "",
        " 1e5 ",
    ],
)
def test_what_is_no_picture_stays(body: str) -> None:
    outcome = extract(body)
    assert outcome.skeleton == body.encode() and outcome.pictures == []


@pytest.mark.parametrize("size", range(1, 10))
def test_url_safe_and_unpadded_base64_of_any_length(size: int) -> None:
    original = b"\xfb\xff\xbf" * 3
    text = base64.urlsafe_b64encode(original[:size]).decode().rstrip("=")
    outcome = extract(f'{{"b64_json":"{text}"}}')
    assert outcome.pictures == [original[:size]] and outcome.flaws == [""]


@pytest.mark.parametrize(
    "url",
    [
        "https://example.com/fox.png",
        "http://a",
        "HTTPS://EXAMPLE.COM",
        r"https:\/\/example.com\/fox.png",
        r"http\u003a\u002f\u002fa",
        "gs://bucket/fox",
    ],
)
def test_a_url_under_a_wanted_key_stays(url: str) -> None:
    body = f'{{"image":"{url}","b64_json":["{url}","",[1,"{url}"]]}}'
    outcome = extract(body, data_urls=True)
    assert outcome.skeleton == body.encode() and outcome.pictures == []


@pytest.mark.parametrize(
    ("url", "media_type"),
    [
        ("data:image/png;base64,", "image/png"),
        (r"data:image\/png;base64,", "image/png"),
        (r"\u0064ata:image\u002fwebp\u003Bbase64,", "image/webp"),
        ("DATA:image/jpeg;BASE64,", "image/jpeg"),
        ("data:image/svg+xml;charset=utf-8;base64,", "image/svg+xml"),
        ("data:;base64,", ""),
        ("data:image/png;x=" + "y" * (DATA_URL_CHARACTERS - 25) + ";base64,", "image/png"),
    ],
)
def test_data_urls_are_cut_under_any_key(url: str, media_type: str) -> None:
    outcome = extract(f'{{"prompt":"a fox","whatever":"{url}{BASE64}","n":1}}', data_urls=True)
    assert outcome.pictures == [PICTURE] and outcome.flaws == [""]
    assert outcome.media_types == [media_type] and outcome.keys == ["whatever"]
    assert json.loads(outcome.skeleton) == {"prompt": "a fox", "whatever": mark(0), "n": 1}


@pytest.mark.parametrize(
    "text",
    [
        "data:",
        "data:image/png,QUJD",
        "data:text/plain,foo;base64,QUJD",
        "data: a prompt that begins like that, and goes on",
        "data:image/png;base64",
        "data:image/png;x=" + "y" * (DATA_URL_CHARACTERS - 24) + ";base64,QUJD",
        "data:" + "z" * 5000,
        " data:image/png;base64,QUJD",
        "metadata:image/png;base64,QUJD",
    ],
)
def test_what_only_begins_like_a_data_url_stays(text: str) -> None:
    body = f'{{"x":"{text}","image":"{text if text.startswith("data:") else ""}"}}'
    outcome = extract(body, data_urls=True)
    assert outcome.skeleton == body.encode() and outcome.pictures == []


def test_a_picture_in_an_array_has_the_key_of_the_array() -> None:
    url = f"data:image/png;base64,{BASE64}"
    body = {"a": {"images": [url, {"inner": url, "deep": [[1, [url]], url]}, url], "z": url}, "b": [[], url]}
    outcome = extract(json.dumps(body), data_urls=True)
    assert outcome.keys == ["images", "inner", "deep", "deep", "images", "z", "b"]
    assert outcome.pictures == [PICTURE] * 7
    assert extract(json.dumps([url, [url], {"x": [url]}, url]), data_urls=True).keys == ["", "", "x", ""]


@pytest.mark.parametrize("data_urls", [False, True])
@pytest.mark.parametrize("gap", ["", " ", "\n\t"])
@pytest.mark.parametrize("key", ["image", "imag\\u0065"])
def test_of_an_array_under_a_wanted_key_every_string_is_a_picture(key: str, gap: str, data_urls: bool) -> None:
    url = f"data:image/webp;base64,{BASE64}"
    array = f'["QUJD", "", null, [["{url}"], {{"x": "QUJD", "b64_json": "QUJD"}}, "QUJD"], 1, "https://a", "QUI="]'
    body = f'{{"n": 1, "{key}": {array}, "x": ["QUJD"]}}'.replace(" ", gap)
    outcome = extract(body, data_urls=data_urls)
    assert outcome.pictures == [b"ABC", PICTURE, b"ABC", b"ABC", b"AB"] and outcome.flaws == [""] * 5
    assert outcome.keys == ["image", "image", "b64_json", "image", "image"]
    assert outcome.media_types == ["", "image/webp", "", "", ""]
    left = [mark(0), "", None, [[mark(1)], {"x": "QUJD", "b64_json": mark(2)}, mark(3)], 1, "https://a", mark(4)]
    assert json.loads(outcome.skeleton) == {"n": 1, "image": left, "x": ["QUJD"]}


def test_of_an_array_under_a_wanted_key_too_a_flaw_ends_nothing() -> None:
    outcome = extract(f'{{"image":["a fox","{BASE64}","Q"]}}')
    assert [bool(flaw) for flaw in outcome.flaws] == [True, False, True] and outcome.pictures[1] == PICTURE


def test_a_data_url_that_is_itself_a_key_stays() -> None:
    body = '{"data:image/png;base64,QUJD":{"data:image/png;base64,QUJD" : 1,"data:image/png;base64,QUJE":[]}}'
    outcome = extract(body, data_urls=True)
    assert outcome.skeleton == body.encode() and outcome.pictures == []


def test_a_data_url_under_a_wanted_key_needs_no_permission() -> None:
    outcome = extract(f'{{"b64_json":"data:image/webp;base64,{BASE64}"}}')
    assert outcome.pictures == [PICTURE] and outcome.media_types == ["image/webp"]


def test_a_data_url_without_data_is_an_empty_picture() -> None:
    outcome = extract('{"b64_json":"data:image/webp;base64,"}')
    assert outcome.pictures == [b""] and outcome.flaws == [""]


def test_text_is_left_byte_for_byte() -> None:
    body = '\ufeff{ "prompt":"é🦊 \\ud83e\\udd8a \\"\\\\ ", "n":1.0e+05,\r\n"b64_json":"%b" }\n'.encode() + b"\xff"
    outcome = extract(body % BASE64.encode())
    assert outcome.skeleton == body % mark(0).encode()


@pytest.mark.parametrize("text", [r"\\", r"\\\\", r"x\\\"", r"\"", r"\"" * 2500, r"\\" * 2500, r"\n\\" * 2500])
def test_backslashes_before_quotes_are_counted(text: str) -> None:
    outcome = extract(f'{{"a":"{text}","{text}":["{text}"],"b64_json":"{BASE64}"}}')
    assert outcome.pictures == [PICTURE] and outcome.keys == ["b64_json"]
    assert extract(f'{{"b64_json":"QUJD{text}","image":"{BASE64}"}}').pictures[1:] == [PICTURE]


def test_a_long_key_is_nobodys() -> None:
    for size, key in ((KEY_BYTES - 1, "k" * (KEY_BYTES - 1)), (KEY_BYTES, "")):
        outcome = extract(f'{{"{"k" * size}":"data:;base64,QUJD"}}', data_urls=True)
        assert outcome.pictures == [b"ABC"] and outcome.keys == [key]


@pytest.mark.parametrize("escaped", [False, True])
@pytest.mark.parametrize("sizes", [(4096,), (65536,), (262144,), (1 << 30,), (65537, 3)])
def test_a_large_picture_goes_to_a_file(tmp_path: Path, sizes: tuple[int, ...], escaped: bool) -> None:
    picture = random.Random(2).randbytes(1_400_001)
    text = base64.b64encode(picture)
    text = text.replace(b"/", rb"\/") if escaped else text
    extractor = Extractor(lambda: Spool(tmp_path), text_cap=1000, picture_cap=len(picture), picture_count_cap=1)
    try:
        for chunk in chunks(b'{"data":[{"b64_json":"' + text + b'"}],"usage":null}', sizes):
            extractor.feed(chunk)
        assert json.loads(extractor.finish()) == {"data": [{"b64_json": mark(0)}], "usage": None}
        assert extractor.cuts[0].spool.read() == picture and extractor.cuts[0].flaw == ""
    finally:
        extractor.close()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("text", "flaw"),
    [
        ("QUJD!", "characters that are not base64"),
        ("not base64 at all", "characters"),
        ("file-abc.png", "characters"),
        ("日本", "characters"),
        (r"AB\"CD", "characters"),
        (r"AB\\CD", "characters"),
        (r"AB\u0000CD", "characters"),
        (r"A\u0022", "characters"),
        (r"A\u005c", "characters"),
        (r"AB\u00e9CD", "characters"),
        (r"\ud800", "characters"),
        ("QUJDQ", "stands alone"),
        ("QUJD=", "padding"),
        ("QUJD====", "padding"),
        ("Q===", "padding"),
        ("QQ==QUJD", "padding"),
        ("QQ==" * 40, "padding"),
        ("QUJ=QUJD" * 40, "padding"),
        ("QUJD" * 40 + "QQ==QUJD", "padding"),
        ("!" + BASE64, "characters"),
    ],
)
def test_a_flaw_says_what_is_wrong_and_ends_nothing(text: str, flaw: str) -> None:
    outcome = extract(f'{{"b64_json":"{text}","image":"QUJD"}}')
    assert flaw in outcome.flaws[0] and outcome.flaws[1] == ""
    assert outcome.pictures[1] == b"ABC"
    assert json.loads(outcome.skeleton) == {"b64_json": mark(0), "image": mark(1)}


@pytest.mark.parametrize(
    "text",
    [rb"QUJD\q", rb"QU\u00zz", b"QU\nJD", b"QUJD\x00", b"\t" + BASE64.encode(), b"QU\xffJD", b"!\xc3", rb"\u00\n2BAA"],
)
def test_what_is_no_json_does_not_become_json_by_being_cut(text: bytes) -> None:
    body = b'{"b64_json":"%b"}' % text
    outcome = extract(body)
    assert not is_json(body) and not is_json(outcome.skeleton)
    assert len(outcome.flaws) == 1 and outcome.flaws != [""]
    body = b'{"x":"data:%b;base64,QUJD"}' % text
    assert extract(body, data_urls=True).skeleton == body


@pytest.mark.parametrize(
    ("body", "plain"),
    [
        (b'{"prompt": "a fox"}', True),
        (b'{"image": "QUJD"}', False),
        (rb'{"im\u0061ge": "QUJD"}', False),
        (b'{"prompt": "data:image/png;base64,QUJD"}', False),
    ],
)
def test_what_holds_no_picture_is_seen_at_a_glance(body: bytes, plain: bool) -> None:
    assert is_plain(body, frozenset({"image"}), data_urls=True) is plain


@pytest.mark.parametrize(
    "body", ['{"b64_json""QUJD"}', '["a""b64_json":"QUJD"]', '["a" "b",{"b64_json":"QUJD"}]', "]]}"]
)
def test_broken_structure_is_left_to_the_decoder(body: str) -> None:
    outcome = extract(body)
    assert outcome.skeleton == body.encode() and outcome.pictures == []


@pytest.mark.parametrize("kept", range(1, len(BASE64) + 1, 13))
def test_a_truncated_picture_has_a_flaw(kept: int) -> None:
    outcome = extract(f'{{"image":"QUJD","b64_json":"{BASE64[:kept]}')
    assert outcome.flaws == ["", "it ends before its closing quote"]
    assert PICTURE.startswith(outcome.pictures[1])
    assert outcome.skeleton == f'{{"image":"{mark(0)}","b64_json":"{mark(1)}'.encode()


@pytest.mark.parametrize("end", ["\\", "\\u00", "\\u002"])
def test_a_body_that_ends_within_an_escape(end: str) -> None:
    assert extract(f'{{"b64_json":"{BASE64}{end}').flaws == ["it ends before its closing quote"]
    assert extract(f'{{"prompt":"{BASE64}{end}').skeleton == f'{{"prompt":"{BASE64}{end}'.encode()


def test_a_placeholder_reaches_nothing_but_the_cuts_of_its_own_body() -> None:
    cuts = [Cut(Spool(Path()), "a"), Cut(Spool(Path()), "b")]
    assert find(mark(0), cuts) is cuts[0]
    assert find(mark(1), cuts) is cuts[1]
    others: list[object] = [
        mark(2),
        mark(-1),
        mark(10**30),
        mark(0) + "\n",
        "",
        None,
        0,
        cuts,
    ]
    others += [mark(0)[:-1], mark(0)[:-1] + "٠", mark(0)[:-1] + "00", f" {mark(0)}"]
    assert [find(value, cuts) for value in others] == [None] * len(others)


def test_close_closes_every_spool() -> None:
    extractor = an_extractor()
    extractor.feed(f'{{"b64_json":"QUJD","image":"{BASE64}'.encode())
    extractor.close()
    for cut in extractor.cuts:
        with pytest.raises(ValueError, match="closed"):
            cut.spool.read()


# Caps and hostile bodies.


@pytest.mark.parametrize("sizes", [(1,), (10,), (1 << 20,)])
def test_a_picture_may_be_as_large_as_its_cap_and_no_larger(sizes: tuple[int, ...]) -> None:
    for cap, fits in ((len(PICTURE), True), (len(PICTURE) - 1, False)):
        extractor = an_extractor(picture_cap=cap)
        try:
            body = f'{{"b64_json":"{BASE64}"}}'.encode()
            if fits:
                for chunk in chunks(body, sizes):
                    extractor.feed(chunk)
                continue
            with pytest.raises(TooLarge, match=f"larger than the {cap} bytes") as caught:
                for chunk in chunks(body, sizes):
                    extractor.feed(chunk)
            assert caught.value.param == "b64_json"
        finally:
            extractor.close()


def test_there_may_be_as_many_pictures_as_their_cap_and_no_more() -> None:
    extractor = an_extractor(picture_count_cap=2)
    extractor.feed(b'{"b64_json":"QUJD","image":"QUJD","b64_json":"",')
    with pytest.raises(BadRequest, match="at most 2"):
        extractor.feed(b'"b64_json":"QUJD"}')
    assert len(extractor.cuts) == 2
    extractor.close()


def test_pictures_do_not_count_as_text() -> None:
    body = f'{{"b64_json":"{BASE64}"}}'.encode()
    size = len(b'{"b64_json":"%b"}' % mark(0).encode())
    extractor = an_extractor(text_cap=size)
    extractor.feed(body)
    assert len(extractor.finish()) == size
    with pytest.raises(TooLarge, match=f"the {size} bytes allowed"):
        extractor.feed(b" ")
    extractor.close()


ENDLESS = {
    "empty strings": (b"[", b'"","",'),
    "members": (b"{", b'"a":"b","c":{"d":1},'),
    "a prompt": (b'{"prompt":"', b"a fox "),
    "escapes": (b'{"prompt":"', rb"\n\"\\"),
    "a number": (b"[", b"1"),
    "spaces after a wanted key": (b'{"b64_json"', b" "),
    "arrays": (b"", b"["),
    "objects": (b"", b'{"a":'),
    "empty arrays": (b"[", b"[],"),
    "a key": (b'{"', b"key"),
    "an escaped key": (b'{"', rb"\u0061"),
    "no data URL": (b'{"x":"data:', b"x"),
    "empty pictures": (b"{", b'"b64_json":"",'),
    "empty pictures in an array": (b'{"b64_json":[', b'"","",'),
    "numbers for pictures": (b'{"b64_json":[', b"1,2,"),
    "URLs for pictures": (b'{"b64_json":[', b'"a://bc",'),
    "quotes": (b"", b'"'),
}


@pytest.mark.parametrize("name", ENDLESS)
def test_endless_text_ends_at_the_cap_in_little_memory(name: str) -> None:
    start, pattern = ENDLESS[name]
    chunk = pattern * (65536 // len(pattern))
    extractor = an_extractor(data_urls=True, text_cap=1 << 18)
    tracemalloc.start()
    try:
        extractor.feed(start)
        with pytest.raises(TooLarge):
            for _ in range(1000):
                extractor.feed(chunk)
        assert tracemalloc.get_traced_memory()[1] < 2 << 20
    finally:
        tracemalloc.stop()
        extractor.close()


@pytest.mark.parametrize("name", ENDLESS)
def test_hostile_text_below_the_cap_passes_as_it_is(name: str) -> None:
    start, pattern = ENDLESS[name]
    body = start + pattern * (1_000_000 // len(pattern))
    assert run(body, (65536,), data_urls=True).skeleton == body
    assert run(body[:5000], (1,), data_urls=True).skeleton == body[:5000]


@pytest.mark.parametrize("pattern", [b"AAAA", rb"\/", rb"\u0041", b" ", rb"\n", b"!", rb"\"", "é".encode(), b"="])
def test_of_a_picture_nothing_is_kept_in_memory(pattern: bytes) -> None:
    extractor = an_extractor()
    chunk = pattern * (16384 // len(pattern))
    tracemalloc.start()
    try:
        extractor.feed(b'{"b64_json":"')
        for _ in range(256):
            extractor.feed(chunk)
        extractor.feed(b'"}')
        assert tracemalloc.get_traced_memory()[1] < MEMORY_BYTES + (1 << 20)
        assert json.loads(extractor.finish()) == {"b64_json": mark(0)}
    finally:
        tracemalloc.stop()
        extractor.close()


def test_deeper_than_any_decoder_follows_nothing_is_cut() -> None:
    picture = '{"b64_json":"QUJD"}'
    for depth, count in ((DEEPEST - 1, 1), (DEEPEST, 0)):
        body = "[" * depth + picture + "]" * depth
        outcome = extract(body)
        assert len(outcome.pictures) == count
        assert outcome.skeleton == body.replace("QUJD", mark(0) if count else "QUJD").encode()
