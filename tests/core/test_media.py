from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pybase64
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, features

from pictura.core.errors import BadRequest, Unsupported
from pictura.core.media import (
    FORMATS,
    MAX_PIXELS,
    Media,
    Read,
    flaw,
    guard,
    normalise_format,
    parse_data_url,
    sniff,
)
from pictura.infra.spool import Spool

WIDTH, HEIGHT = 97, 61


def reader(data: bytes) -> Read:
    def read(offset: int, size: int) -> bytes:
        start = offset if offset >= 0 else max(0, len(data) + offset)
        return data[start : start + size]

    return read


def sniffed(data: bytes) -> Media:
    return sniff(reader(data), len(data))


def flaw_of(data: bytes, media: Media) -> str:
    return flaw(reader(data), len(data), media)


def noise(mode: str = "RGB", size: tuple[int, int] = (WIDTH, HEIGHT)) -> Image.Image:
    return Image.effect_noise(size, 60).convert(mode)


def saved(picture: Image.Image, format: str, **options: Any) -> bytes:
    out = io.BytesIO()
    picture.save(out, format, **options)
    return out.getvalue()


def exif_of(size: int) -> bytes:
    exif = Image.Exif()
    exif[0x010E] = "x" * size
    return exif.tobytes()


def chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def jpeg_with_segments(segment: bytes, count: int) -> bytes:
    plain = saved(noise(), "jpeg", progressive=True)
    return plain[:2] + segment * count + plain[2:]


def transparent_palette() -> Image.Image:
    picture = noise("P")
    picture.info["transparency"] = 0
    return picture


def frames() -> list[Image.Image]:
    return [noise(), noise(), noise()]


PICTURES: dict[str, tuple[Callable[[], bytes], str, bool]] = {
    "png rgb": (lambda: saved(noise(), "png"), "image/png", False),
    "png rgba": (lambda: saved(noise("RGBA"), "png"), "image/png", True),
    "png grey": (lambda: saved(noise("L"), "png"), "image/png", False),
    "png grey with alpha": (lambda: saved(noise("LA"), "png"), "image/png", True),
    "png palette": (lambda: saved(noise("P"), "png"), "image/png", False),
    "png palette with tRNS": (lambda: saved(transparent_palette(), "png"), "image/png", True),
    "png rgb with tRNS": (lambda: saved(noise(), "png", transparency=(1, 2, 3)), "image/png", True),
    "png with profile": (lambda: saved(noise(), "png", icc_profile=b"i" * 70_000), "image/png", False),
    "png 16 bit": (lambda: saved(Image.new("I;16", (WIDTH, HEIGHT), 999), "png"), "image/png", False),
    "jpeg": (lambda: saved(noise(), "jpeg"), "image/jpeg", False),
    "jpeg grey": (lambda: saved(noise("L"), "jpeg"), "image/jpeg", False),
    "jpeg cmyk": (lambda: saved(noise("CMYK"), "jpeg"), "image/jpeg", False),
    "jpeg progressive": (lambda: saved(noise(), "jpeg", progressive=True), "image/jpeg", False),
    "jpeg with exif": (lambda: saved(noise(), "jpeg", exif=exif_of(60_000)), "image/jpeg", False),
    "jpeg with 100 KB of exif": (
        lambda: jpeg_with_segments(b"\xff\xe1" + struct.pack(">H", 50_002) + b"\xff\xd9" * 25_000, 2),
        "image/jpeg",
        False,
    ),
    "jpeg with a large profile": (lambda: saved(noise(), "jpeg", icc_profile=b"i" * 300_000), "image/jpeg", False),
    "jpeg with its tables first": (
        lambda: jpeg_with_segments(b"\xff\xc4" + struct.pack(">H", 22) + bytes(20), 1),
        "image/jpeg",
        False,
    ),
    "jpeg with fill bytes": (lambda: jpeg_with_segments(b"\xff\xff\x01", 1), "image/jpeg", False),
    "webp lossy": (lambda: saved(noise(), "webp"), "image/webp", False),
    "webp lossless": (lambda: saved(noise(), "webp", lossless=True), "image/webp", False),
    "webp lossy with alpha": (lambda: saved(noise("RGBA"), "webp", exact=True), "image/webp", False),
    "webp animated": (
        lambda: saved(noise(), "webp", save_all=True, append_images=frames()),
        "image/webp",
        False,
    ),
    "gif": (lambda: saved(noise("P"), "gif"), "image/gif", False),
    "gif transparent": (lambda: saved(transparent_palette(), "gif"), "image/gif", True),
    "gif animated": (lambda: saved(noise(), "gif", save_all=True, append_images=frames()), "image/gif", False),
    "bmp": (lambda: saved(noise(), "bmp"), "image/bmp", False),
    "bmp 32 bit": (lambda: saved(noise("RGBA"), "bmp"), "image/bmp", False),
    "tiff": (lambda: saved(noise(), "tiff"), "image/tiff", False),
    "tiff compressed": (lambda: saved(noise(), "tiff", compression="tiff_lzw"), "image/tiff", False),
    "tiff with alpha": (lambda: saved(noise("RGBA"), "tiff"), "image/tiff", True),
}


@pytest.mark.parametrize("name", PICTURES)
def test_every_format_is_measured(name: str) -> None:
    make, media_type, alpha = PICTURES[name]
    data = make()
    assert sniffed(data) == Media(media_type, WIDTH, HEIGHT, alpha)
    assert flaw_of(data, sniffed(data)) == ""


def test_the_scaling_bits_of_a_webp_are_no_part_of_its_size() -> None:
    frame = b"\x30\x01\x00\x9d\x01\x2a" + struct.pack("<HH", 0x4000 | 300, 0xC000 | 200)
    data = b"RIFF" + struct.pack("<I", 22) + b"WEBPVP8 " + struct.pack("<I", 10) + frame
    assert sniffed(data) == Media("image/webp", 300, 200)


def half_transparent() -> Image.Image:
    picture = noise("RGBA")
    picture.putalpha(128)
    return picture


@pytest.mark.parametrize("options", [{}, {"lossless": True}], ids=["lossy", "lossless"])
def test_webp_with_real_transparency_has_alpha(options: dict[str, Any]) -> None:
    assert sniffed(saved(half_transparent(), "webp", **options)) == Media("image/webp", WIDTH, HEIGHT, True)


@pytest.mark.skipif(not features.check("avif"), reason="this Pillow cannot write AVIF")
@pytest.mark.parametrize("alpha", [False, True])
def test_avif_is_measured_and_its_truncation_found(alpha: bool) -> None:
    data = saved(half_transparent() if alpha else noise(), "avif")
    media = sniffed(data)
    assert media == Media("image/avif", WIDTH, HEIGHT, alpha)
    assert flaw_of(data, media) == ""
    assert flaw_of(data[:-10], media) == "the picture ends inside its mdat box"


def box(kind: bytes, body: bytes, *, large: bool = False) -> bytes:
    head = struct.pack(">I4sQ", 1, kind, 16 + len(body)) if large else struct.pack(">I4s", 8 + len(body), kind)
    return head + body


def heic(brands: bytes, properties: bytes) -> bytes:
    meta = box(b"meta", bytes(4) + box(b"iprp", box(b"ipco", properties)))
    return box(b"ftyp", brands) + meta + box(b"mdat", bytes(50), large=True)


def ispe(width: int, height: int) -> bytes:
    return box(b"ispe", struct.pack(">III", 0, width, height))


def test_heic_gives_the_size_of_the_picture_not_of_its_tiles() -> None:
    alpha = box(b"auxC", bytes(4) + b"urn:mpeg:hevc:2015:auxid:1\0")
    data = heic(b"heic\0\0\0\0mif1heic", ispe(512, 512) + ispe(4032, 3024) + ispe(320, 240) + alpha)
    media = sniffed(data)
    assert media == Media("image/heic", 4032, 3024, True)
    assert flaw_of(data, media) == ""
    assert flaw_of(data[:-1], media) == "the picture ends inside its mdat box"


def test_a_box_may_last_to_the_end() -> None:
    data = heic(b"heic\0\0\0\0mif1", ispe(3, 2)).replace(box(b"mdat", bytes(50), large=True), b"")
    data += struct.pack(">I4s", 0, b"mdat") + bytes(50)
    assert flaw_of(data, sniffed(data)) == ""
    assert sniffed(b"\0\0\0\x14ftypheic\0\0\0\0mif1\0\0\0\0" + data[data.index(b"meta") :]).pixels == 6


def test_boxes_larger_than_any_file_are_refused(tmp_path: Path) -> None:
    endless = struct.pack(">I4sQ", 1, b"meta", 2**64 - 1) + bytes(4) + struct.pack(">I4sQ", 1, b"free", 2**63)
    spool = Spool(tmp_path)
    spool.write(box(b"ftyp", b"heic\0\0\0\0mif1") + endless + bytes(100_000))
    with pytest.raises(BadRequest, match="whole"):
        sniff(spool.read, spool.size)
    spool.close()


def test_brands_tell_avif_from_heic() -> None:
    assert sniffed(heic(b"mif1\0\0\0\0avifmiaf", ispe(3, 2))).format == "avif"
    assert sniffed(heic(b"mif1\0\0\0\0heic", ispe(3, 2))).format == "heic"
    with pytest.raises(BadRequest, match="not a picture we know"):
        sniffed(heic(b"isom\0\0\0\0mp42", ispe(3, 2)))
    with pytest.raises(BadRequest, match="no meta box"):
        sniffed(box(b"ftyp", b"heic\0\0\0\0mif1") + box(b"mdat", bytes(90)))


@pytest.mark.parametrize("order", ["<", ">"])
def test_tiff_of_both_byte_orders(order: str) -> None:
    directory = [(256, 3, 300), (257, 4, 70_000), (338, 3, 2)]
    data = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(order + "IH", 8, len(directory))
    for tag, kind, value in directory:
        data += struct.pack(order + ("HHIHxx" if kind == 3 else "HHII"), tag, kind, 1, value)
    assert sniffed(data) == Media("image/tiff", 300, 70_000, True)


def test_bmp_headers_old_and_upside_down() -> None:
    def header(size: int, layout: str, *sides: int) -> bytes:
        return b"BM" + bytes(12) + struct.pack("<I" + layout, size, *sides) + bytes(40)

    assert sniffed(header(12, "HH", 20, 10)) == Media("image/bmp", 20, 10)
    assert sniffed(header(40, "ii", 20, -10)) == Media("image/bmp", 20, 10)
    with pytest.raises(BadRequest, match="of no known kind"):
        sniffed(b"BM is how this prose begins, and it is no picture")


@pytest.mark.parametrize(
    ("svg", "size"),
    [
        ('<svg xmlns="http://www.w3.org/2000/svg" width="640" height="480"></svg>', (640, 480)),
        ("<svg width='2in' height='25.4mm'></svg>", (192, 96)),
        ('<svg width="100%" height="100%" viewBox="0 0 1100 50.4"></svg>', (1100, 50)),
        ('<svg viewBox="-5,-5,30,40" width="60"></svg>', (60, 40)),
        ("<svg></svg>", (300, 150)),
        ('<svg stroke-width="9" width="0.2" height="7px"/></svg>', (1, 7)),
        (
            '\ufeff<?xml version="1.0"?>\n<!-- <svg width="1"> -->\n<!DOCTYPE svg [<!ENTITY a "b">]>\n'
            '<s:svg xmlns:s="http://www.w3.org/2000/svg" width="8" height="9"></s:svg>\n<!-- by hand -->',
            (8, 9),
        ),
    ],
)
def test_svg_is_measured_in_css_pixels(svg: str, size: tuple[int, int]) -> None:
    media = sniffed(svg.encode())
    assert media == Media("image/svg+xml", *size, True)
    assert flaw_of(svg.encode(), media) == ""


def test_svg_cut_short_has_a_flaw() -> None:
    assert flaw_of(b'<svg width="9" height="9"><rect/>', Media("image/svg+xml", 9, 9)) != ""


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x89PNG",
        b'{"error": "no credit"}',
        b"<html><body><svg width='5' height='5'></svg></body></html>",
        b"%PDF-1.7 and so on",
        b"RIFF\x24\0\0\0WAVEfmt ",
    ],
)
def test_what_is_no_picture_is_refused_with_what_is_allowed(data: bytes) -> None:
    with pytest.raises(BadRequest) as caught:
        sniffed(data)
    assert caught.value.allowed == tuple(FORMATS)


def test_an_empty_frame_is_refused() -> None:
    with pytest.raises(BadRequest, match="0×5"):
        sniffed(b"GIF89a" + struct.pack("<HHBBB", 0, 5, 0, 0, 0) + b"\0;")


@pytest.mark.parametrize(
    "data",
    [
        b"\xff\xd8\xff\xda\0\x0c",
        b"\xff\xd8\xff\xe0\0\0" + bytes(40),
        b"\xff\xd8\xff\xe0\0\x10" + bytes(40),
        b"\x89PNG\r\n\x1a\n\0\0\0\x04CgBI" + bytes(40),
        b"RIFF\0\0\0\0WEBPVP9 " + bytes(40),
        b"II*\0\x08\0\0\0\0\0" + bytes(40),
        b"MM\0*\xff\xff\xff\xff",
    ],
)
def test_a_false_start_is_refused(data: bytes) -> None:
    with pytest.raises(BadRequest, match=r"intact|whole"):
        sniffed(data)


def test_a_header_without_end_is_given_up() -> None:
    endless = b"\xff\xd8" + b"\xff\xe0\0\x02" * 100_000
    reads = 0

    def read(offset: int, size: int) -> bytes:
        nonlocal reads
        reads += 1
        return reader(endless)(offset, size)

    with pytest.raises(BadRequest, match="no frame header"):
        sniff(read, len(endless))
    assert reads < 2000


def test_a_png_needs_one_small_read() -> None:
    data = saved(noise(), "png")
    asked: list[tuple[int, int]] = []

    def read(offset: int, size: int) -> bytes:
        asked.append((offset, size))
        return reader(data)(offset, size)

    assert sniff(read, len(data)).pixels == WIDTH * HEIGHT
    assert asked == [(0, 64)]


def test_spools_are_read_in_memory_and_on_disk(tmp_path: Path) -> None:
    for size in ((8, 8), (400, 400)):
        spool = Spool(tmp_path)
        spool.write(saved(noise(size=size), "png"))
        media = sniff(spool.read, spool.size)
        assert (media.width, media.height) == size
        assert flaw(spool.read, spool.size, media) == ""
        spool.close()


@pytest.mark.parametrize("name", [name for name in PICTURES if not name.startswith(("bmp", "tiff"))])
def test_truncations_are_found(name: str) -> None:
    data = PICTURES[name][0]()
    media = sniffed(data)
    for kept in {len(data) - 1, len(data) - 2, *range(0, len(data), max(1, len(data) // 50))}:
        # A GIF's end is two bytes that its pixels may hold by chance.
        if not (media.format == "gif" and data[:kept].rstrip(b"\0\r\n").endswith(b"\0;")):
            assert flaw_or_error(data[:kept], media), f"{kept} of {len(data)} bytes were taken for the whole"


def flaw_or_error(data: bytes, media: Media) -> str:
    try:
        return flaw_of(data, media)
    except BadRequest as error:
        return error.message


@pytest.mark.parametrize("name", ["png rgb", "jpeg", "jpeg with 100 KB of exif", "webp lossy", "gif"])
@pytest.mark.parametrize("rest", [b"\0", b"\r\n", b"\0" * 5000])
def test_bytes_after_the_end_are_no_flaw(name: str, rest: bytes) -> None:
    data = PICTURES[name][0]() + (rest[:20] if name == "gif" else rest)
    assert flaw_of(data, sniffed(data)) == ""


def test_a_film_after_a_jpeg_is_no_flaw() -> None:
    data = saved(noise(), "jpeg") + b"ftypmp42" * 100_000
    assert flaw_of(data, sniffed(data)) == ""


def test_a_gif_that_stops_at_a_byte_like_its_trailer_is_not_whole() -> None:
    data = saved(noise(), "gif")
    assert flaw_of(data[:-2] + b"\x07;", sniffed(data)) == "the GIF ends before its trailer"


def test_the_end_of_an_embedded_thumbnail_is_not_the_end() -> None:
    exif = b"\xff\xe1" + struct.pack(">H", 102) + saved(noise(), "jpeg")[-100:]
    data = jpeg_with_segments(exif, 1)
    assert flaw_of(data[: data.index(exif) + len(exif)], sniffed(data)) == "the JPEG ends before its first scan"
    assert flaw_of(data[:-2], sniffed(data)) == "the JPEG ends before its EOI marker"


def test_a_mark_across_two_reads_is_found() -> None:
    start = saved(noise(), "png")[:-12]
    iend = chunk(b"IEND", b"")
    for shift in range(13):
        filler = bytes(8 + 256 * 1024 - len(start) - shift)
        data = start + filler + iend + b"rest"
        assert flaw_of(data, sniffed(data)) == ""


def test_a_bomb_is_refused_by_its_header() -> None:
    bomb = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", 60_000, 60_000, 8, 2, 0, 0, 0))
    with pytest.raises(BadRequest, match="60000×60000 pixels; at most 100,000,000"):
        guard(sniffed(bomb))
    guard(Media("image/png", 10_000, 10_000), MAX_PIXELS)
    with pytest.raises(BadRequest):
        guard(Media("image/png", 11, 10), 100)


SIGNATURES = [
    b"",
    b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR",
    b"\xff\xd8\xff",
    b"GIF89a",
    b"RIFF\0\0\0\0WEBPVP8X",
    b"RIFF\0\0\0\0WEBPVP8L",
    b"II*\0\x08\0\0\0",
    b"MM\0*",
    b"BM",
    b"\0\0\0\x10ftypavif\0\0\0\0\0\0\0\x60meta\0\0\0\0\0\0\0\x40iprp\0\0\0\x30ipco",
    b"<svg ",
]


@given(st.sampled_from(SIGNATURES), st.binary(max_size=300))
def test_random_bytes_never_crash(signature: bytes, rest: bytes) -> None:
    data = signature + rest
    try:
        media = sniffed(data)
    except BadRequest:
        return
    assert media.width > 0 and media.height > 0
    assert isinstance(flaw_of(data, media), str)


@given(st.sampled_from(sorted(PICTURES)), st.data())
def test_damaged_headers_never_crash(name: str, draw: st.DataObject) -> None:
    data = bytearray(PICTURES[name][0]())
    for at in draw.draw(st.lists(st.integers(0, min(len(data), 400) - 1), min_size=1, max_size=8)):
        data[at] = draw.draw(st.integers(0, 255))
    try:
        media = sniffed(bytes(data))
        flaw_of(bytes(data), media)
    except BadRequest:
        pass


def test_media_knows_its_file() -> None:
    media = Media("image/jpeg", 2000, 1500)
    assert (media.format, media.extension, media.pixels, media.megapixels) == ("jpeg", "jpg", 3_000_000, 3.0)


def test_what_can_be_written() -> None:
    assert [name for name, row in FORMATS.items() if row.writable] == ["png", "jpeg", "webp"]


@pytest.mark.parametrize(
    ("word", "name"),
    [("jpg", "jpeg"), ("JPEG", "jpeg"), ("image/png", "png"), (" WebP ", "webp"), ("image/svg+xml", "svg")],
)
def test_formats_are_known_by_many_words(word: str, name: str) -> None:
    assert normalise_format(word) == name


def test_an_unknown_format_names_the_known() -> None:
    with pytest.raises(Unsupported) as caught:
        normalise_format("psd")
    assert caught.value.param == "output_format"
    assert "png" in caught.value.allowed


def test_a_data_url_is_taken_apart() -> None:
    data = bytes(range(256))
    encoded = pybase64.b64encode_as_string(data)
    assert parse_data_url(f"data:image/PNG;base64,{encoded}") == ("image/png", data)
    assert parse_data_url(f"DATA:image/png;name=a.png;Base64,{encoded}") == ("image/png", data)
    assert parse_data_url(f"data:;base64,{encoded}") == ("", data)


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("https://example.com/a.png", "not a data URL"),
        ("data:image/png;base64", "not a data URL"),
        ("data:image/svg+xml,%3Csvg%3E", "not base64"),
        ("data:image/png;base64,AAA", "invalid"),
        ("data:image/png;base64,AA==\n", "invalid"),
        ("data:image/png;base64,ä", "invalid"),
        ("data:image/png;base64,", "no bytes"),
    ],
)
def test_a_wrong_data_url_says_why(url: str, message: str) -> None:
    with pytest.raises(BadRequest, match=message):
        parse_data_url(url)
