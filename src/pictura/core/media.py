"""What a run of bytes is: which picture format, how many pixels, and whether all of it is there.

Everything is read from headers and trailers; no pixel is decoded here. Bytes come through a callable
`read(offset, size)` that gives fewer bytes at the end and counts a negative offset from there (`Spool.read`).
"""

from __future__ import annotations

import binascii
import re
import struct
from collections.abc import Callable, Iterator

import msgspec
import pybase64

from pictura.core.errors import BadRequest, Unsupported

#: `read(offset, size) -> bytes`
Read = Callable[[int, int], bytes]

#: A header that claims more is refused before any decoder sees the bytes: 100 megapixels are 400 MB once decoded.
MAX_PIXELS = 100_000_000
#: Segments, chunks or boxes walked before a header counts as hostile; real files need a few dozen.
MAX_STEPS = 1000
#: One read of this size tells every format, and measures most.
HEAD_BYTES = 64
#: An SVG's root element stands somewhere in here, after declarations and comments.
SVG_HEAD_BYTES = 16 * 1024
#: What one step of a search through the whole picture reads.
SEARCH_BYTES = 256 * 1024


class Format(msgspec.Struct, frozen=True):
    """One row of `FORMATS`. `writable`: we can convert to it; `max_side`: the longest side encoders take, 0 for any."""

    name: str
    type: str
    extension: str
    aliases: tuple[str, ...] = ()
    writable: bool = False
    max_side: int = 0


FORMATS: dict[str, Format] = {
    row.name: row
    for row in (
        Format("png", "image/png", "png", ("x-png",), writable=True),
        Format("jpeg", "image/jpeg", "jpg", ("jpg", "pjpeg"), writable=True, max_side=65_500),
        Format("webp", "image/webp", "webp", writable=True, max_side=16_383),
        Format("gif", "image/gif", "gif"),
        Format("bmp", "image/bmp", "bmp", ("x-ms-bmp",)),
        Format("tiff", "image/tiff", "tiff", ("tif",)),
        Format("heic", "image/heic", "heic", ("heif",)),
        Format("avif", "image/avif", "avif"),
        Format("svg", "image/svg+xml", "svg", ("svg+xml",)),
    )
}
_BY_TYPE = {row.type: row for row in FORMATS.values()}
_BY_WORD = {word: row.name for row in FORMATS.values() for word in (row.name, *row.aliases)}


class Media(msgspec.Struct, frozen=True):
    """A picture's media type and size in pixels, as stored (an EXIF orientation is not applied).

    `alpha`: pixels may be transparent. Exact for PNG (colour type or tRNS chunk), JPEG and WebP; for GIF what the
    first frame says, for TIFF its ExtraSamples, for AVIF and HEIC whether an alpha plane is declared. False for BMP,
    whose fourth channel means nothing in most files; True for SVG.
    """

    type: str
    width: int
    height: int
    alpha: bool = False

    @property
    def pixels(self) -> int:
        return self.width * self.height

    @property
    def megapixels(self) -> float:
        return self.pixels / 1_000_000

    @property
    def format(self) -> str:
        return _BY_TYPE[self.type].name

    @property
    def extension(self) -> str:
        """For a file name, without the dot."""
        return _BY_TYPE[self.type].extension


def normalise_format(word: str) -> str:
    """The format's name for what people write: `JPG`, `image/jpeg` and `jpeg` are all `jpeg`."""
    name = _BY_WORD.get(word.strip().lower().removeprefix("image/"))
    if name is None:
        known = ", ".join(FORMATS)
        raise Unsupported(
            f"No picture format has this name; use one of {known}.", param="output_format", allowed=tuple(FORMATS)
        )
    return name


def guard(media: Media, max_pixels: int = MAX_PIXELS) -> None:
    """Refuse a picture that would fill the memory when decoded, whatever its size in bytes."""
    if media.pixels > max_pixels:
        raise BadRequest(
            f"The picture's header says {media.width}×{media.height} pixels; at most {max_pixels:,} in all are taken. "
            "Send a smaller picture."
        )


def parse_data_url(text: str) -> tuple[str, bytes]:
    """Media type (lower case, "" where it is left out) and bytes of `data:image/png;base64,…` (RFC 2397)."""
    head, comma, payload = text.partition(",")
    scheme, _, rest = head.partition(":")
    if scheme.lower() != "data" or not comma:
        raise BadRequest("This is not a data URL; one starts with data:image/png;base64, and the bytes follow.")
    media_type, *parameters = rest.split(";")
    if "base64" not in (parameter.strip().lower() for parameter in parameters):
        raise BadRequest("The data URL is not base64; write data:image/png;base64, before the encoded bytes.")
    try:
        data = pybase64.b64decode(payload, validate=True)
    except (binascii.Error, ValueError) as error:
        raise BadRequest("The data URL's base64 is invalid; use the standard alphabet, padded, in one line.") from error
    if not data:
        raise BadRequest("The data URL holds no bytes.")
    return media_type.strip().lower(), data


def sniff(read: Read, size: int) -> Media:
    """Format and size of the picture from its first bytes. Raises BadRequest for anything else."""
    source = _Source(read, size)
    name = _recognise(source.head)
    width, height, alpha = _MEASURES[name](source)
    if width < 1 or height < 1:
        raise BadRequest(f"The {_title(name)}'s header says {width}×{height} pixels; it has no picture in it.")
    return Media(FORMATS[name].type, width, height, alpha)


def flaw(read: Read, size: int, media: Media) -> str:
    """What shows that the picture is not whole, as a sentence; "" where nothing does.

    Found by structure, so a transfer cut short is noticed without decoding. Bytes after the end are tolerated: phones
    append films to a JPEG, servers append a newline, and neither loses a pixel. A BMP or TIFF is not checked.
    """
    check = _FLAWS.get(media.format)
    return check(_Source(read, size)) if check else ""


class _Source:
    """The bytes of one picture. `part` and `unpack` give exactly what was asked for, or raise."""

    __slots__ = ("head", "read", "size")

    def __init__(self, read: Read, size: int) -> None:
        self.read = read
        self.size = size
        self.head = read(0, HEAD_BYTES)

    def part(self, offset: int, size: int) -> bytes:
        end = offset + size
        if end <= len(self.head):
            return self.head[offset:end]
        # An offset that a file claims may be larger than any file; the system call would overflow.
        found = self.read(offset, size) if end <= self.size else b""
        if len(found) < size:
            raise BadRequest("The picture ends inside its header; send it whole.")
        return found

    def unpack(self, layout: str, offset: int) -> tuple[int, ...]:
        return struct.unpack(layout, self.part(offset, struct.calcsize(layout)))

    def holds(self, mark: bytes, start: int) -> bool:
        """Whether `mark` is the last thing in the picture, or else anywhere from `start` on."""
        if self.read(-len(mark), len(mark)) == mark:
            return True
        overlap = len(mark) - 1
        return any(mark in self.read(at, SEARCH_BYTES + overlap) for at in range(start, self.size, SEARCH_BYTES))


#: Width and height in pixels, and whether there is an alpha channel.
_Measure = tuple[int, int, bool]

_SIGNATURES = (
    (b"\x89PNG\r\n\x1a\n", "png"),
    (b"\xff\xd8\xff", "jpeg"),
    (b"GIF87a", "gif"),
    (b"GIF89a", "gif"),
    (b"II*\0", "tiff"),
    (b"MM\0*", "tiff"),
    (b"BM", "bmp"),
)
_AVIF_BRANDS = {b"avif", b"avis"}
_HEIC_BRANDS = {b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs", b"mif1", b"msf1"}


def _recognise(head: bytes) -> str:
    for signature, name in _SIGNATURES:
        if head.startswith(signature):
            return name
    if head.startswith(b"RIFF") and head[8:12] == b"WEBP":
        return "webp"
    if head[4:8] == b"ftyp" and (name := _brand(head)):
        return name
    if head.removeprefix(b"\xef\xbb\xbf").lstrip().startswith(b"<"):
        return "svg"
    known = ", ".join(_title(name) for name in FORMATS)
    what = "These bytes are not a picture we know" if head else "The picture is empty"
    raise BadRequest(f"{what}; send one of {known}.", allowed=tuple(FORMATS))


def _brand(head: bytes) -> str:
    """An AVIF may call itself by the general brand first, so all brands count."""
    end = min(int.from_bytes(head[:4]), len(head))
    brands = {head[at : at + 4] for at in range(8, end, 4)}
    if brands & _AVIF_BRANDS:
        return "avif"
    return "heic" if brands & _HEIC_BRANDS else ""


def _title(name: str) -> str:
    return {"webp": "WebP"}.get(name, name.upper())


def _malformed(name: str, what: str) -> BadRequest:
    return BadRequest(f"The bytes begin like a {_title(name)}, but {what}; send an intact picture.")


# PNG: ISO/IEC 15948

_IEND = b"\0\0\0\0IEND\xaeB`\x82"
_PNG_COLOURS_WITH_ALPHA = (4, 6)


def _png(source: _Source) -> _Measure:
    if source.part(12, 4) != b"IHDR":
        raise _malformed("png", "its first chunk is not IHDR")
    width, height, _, colour = source.unpack(">IIBB", 16)
    return width, height, colour in _PNG_COLOURS_WITH_ALPHA or _png_transparency(source)


def _png_transparency(source: _Source) -> bool:
    """A tRNS chunk stands before the first IDAT."""
    offset = 33
    for _ in range(MAX_STEPS):
        if offset + 8 > source.size:
            break
        chunk = source.part(offset, 8)
        if chunk[4:] in (b"tRNS", b"IDAT", b"IEND"):
            return chunk[4:] == b"tRNS"
        offset += 12 + int.from_bytes(chunk[:4])
    return False


def _png_flaw(source: _Source) -> str:
    return "" if source.holds(_IEND, 8) else "the PNG ends before its IEND chunk"


# JPEG: ITU-T T.81, annex B

_EOI = b"\xff\xd9"
_SCAN = 0xFFDA
#: The baseline to arithmetic frames; C4, C8 and CC among them are tables.
_FRAMES = frozenset(range(0xFFC0, 0xFFD0)) - {0xFFC4, 0xFFC8, 0xFFCC}
_WITHOUT_LENGTH = frozenset({0xFF01, *range(0xFFD0, 0xFFD9)})


def _jpeg_segments(source: _Source) -> Iterator[tuple[int, int]]:
    """Marker and offset of every segment up to the first scan."""
    offset = 2
    for _ in range(MAX_STEPS):
        marker, length = source.unpack(">HH", offset)
        if marker == 0xFFFF:  # a fill byte
            offset += 1
            continue
        if marker < 0xFF00 or (length < 2 and marker not in _WITHOUT_LENGTH):
            raise _malformed("jpeg", "its segments do not follow each other")
        yield marker, offset
        if marker == _SCAN:
            return
        offset += 2 if marker in _WITHOUT_LENGTH else 2 + length


def _jpeg(source: _Source) -> _Measure:
    for marker, offset in _jpeg_segments(source):
        if marker in _FRAMES:
            height, width = source.unpack(">HH", offset + 5)
            return width, height, False
    raise _malformed("jpeg", "it has no frame header")


def _jpeg_flaw(source: _Source) -> str:
    # Before the scan the two bytes may stand in an embedded thumbnail; within it they are escaped.
    try:
        scan = next(offset for marker, offset in _jpeg_segments(source) if marker == _SCAN)
    except (BadRequest, StopIteration):
        return "the JPEG ends before its first scan"
    return "" if source.holds(_EOI, scan) else "the JPEG ends before its EOI marker"


# WebP: RFC 9649


def _webp(source: _Source) -> _Measure:
    kind = source.part(12, 4)
    if kind == b"VP8X":
        header = source.part(20, 10)
        width, height = int.from_bytes(header[4:7], "little") + 1, int.from_bytes(header[7:10], "little") + 1
        return width, height, bool(header[0] & 0x10)
    if kind == b"VP8L":
        (bits,) = source.unpack("<I", 21)
        return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1, bool(bits >> 28 & 1)
    if kind == b"VP8 ":
        width, height = source.unpack("<HH", 26)
        return width & 0x3FFF, height & 0x3FFF, False
    raise _malformed("webp", "its first chunk is none of VP8, VP8L and VP8X")


def _webp_flaw(source: _Source) -> str:
    (length,) = source.unpack("<I", 4)
    return "" if source.size >= 8 + length else f"the WebP has {source.size} bytes, its header says {8 + length}"


# GIF: GIF89a specification, 1990

_GRAPHIC_CONTROL = re.compile(rb"\x21\xf9\x04(.)", re.DOTALL)


def _gif(source: _Source) -> _Measure:
    width, height, flags = source.unpack("<HHB", 6)
    palette = 3 << ((flags & 7) + 1) if flags & 0x80 else 0
    # The first frame's control block follows the palette, or one short extension after it.
    control = _GRAPHIC_CONTROL.search(source.read(13 + palette, HEAD_BYTES))
    return width, height, control is not None and bool(control[1][0] & 1)


def _gif_flaw(source: _Source) -> str:
    # Alone, the trailer's byte 0x3B is a common one; after an end of block it ends the picture.
    tail = source.read(-HEAD_BYTES, HEAD_BYTES).rstrip(b"\0\r\n")
    return "" if tail.endswith(b"\0\x3b") else "the GIF ends before its trailer"


# BMP: BITMAPCOREHEADER and BITMAPINFOHEADER and its successors


def _bmp(source: _Source) -> _Measure:
    (header,) = source.unpack("<I", 14)
    if header == 12:
        width, height = source.unpack("<HH", 18)
    elif 40 <= header <= 124:
        width, height = source.unpack("<ii", 18)
    else:
        raise _malformed("bmp", f"its header of {header} bytes is of no known kind")
    return width, abs(height), False  # a negative height: the rows run from the top


# TIFF: revision 6.0

_TIFF_WIDTH, _TIFF_HEIGHT, _TIFF_EXTRA_SAMPLES = 256, 257, 338
_TIFF_LAYOUTS = {3: "H2x", 4: "I"}


def _tiff(source: _Source) -> _Measure:
    """From the first directory; of several pages the first counts."""
    order = "<" if source.head.startswith(b"II") else ">"
    (directory,) = source.unpack(order + "I", 4)
    (count,) = source.unpack(order + "H", directory)
    values: dict[int, int] = {}
    for index in range(min(count, MAX_STEPS)):
        entry = source.part(directory + 2 + 12 * index, 12)
        tag, kind = struct.unpack(order + "HH", entry[:4])
        if kind in _TIFF_LAYOUTS:
            (values[tag],) = struct.unpack(order + _TIFF_LAYOUTS[kind], entry[8:])
    if not {_TIFF_WIDTH, _TIFF_HEIGHT} <= values.keys():
        raise _malformed("tiff", "its first directory gives no size")
    return values[_TIFF_WIDTH], values[_TIFF_HEIGHT], values.get(_TIFF_EXTRA_SAMPLES) in (1, 2)


# AVIF and HEIC: ISO/IEC 14496-12 (boxes) and 23008-12 (image properties)

_ALPHA_PLANES = (b"urn:mpeg:mpegB:cicp:systems:auxiliary:alpha", b"urn:mpeg:hevc:2015:auxid:1")


def _boxes(source: _Source, start: int, end: int) -> Iterator[tuple[bytes, int, int]]:
    """Kind, start of the content and claimed end of every box between two offsets."""
    for _ in range(MAX_STEPS):
        if start + 8 > end:
            return
        header = source.part(start, 8)
        length, content = int.from_bytes(header[:4]), start + 8
        if length == 1 and start + 16 <= end:
            length, content = source.unpack(">Q", content)[0], start + 16
        elif length == 0:  # up to the end of the file
            length = end - start
        if length < content - start:
            return
        yield header[4:], content, start + length
        start += length


def _content(source: _Source, kind: bytes, start: int, end: int) -> tuple[int, int]:
    for found, content, stop in _boxes(source, start, end):
        if found == kind:
            return content, stop
    raise BadRequest(f"The picture has no {kind.decode()} box, which gives its size; send an intact picture.")


def _isobmff(source: _Source) -> _Measure:
    start, end = _content(source, b"meta", 0, source.size)
    start, end = _content(source, b"iprp", start + 4, end)
    start, end = _content(source, b"ipco", start, end)
    sizes: list[tuple[int, ...]] = []
    alpha = False
    for kind, content, _ in _boxes(source, start, end):
        if kind == b"ispe":
            sizes.append(source.unpack(">II", content + 4))
        elif kind == b"auxC":
            alpha |= source.read(content + 4, HEAD_BYTES).startswith(_ALPHA_PLANES)
    # Tiles and thumbnails have sizes of their own; the picture is the largest.
    width, height = max(sizes, key=lambda size: size[0] * size[1], default=(0, 0))
    return width, height, alpha


def _isobmff_flaw(source: _Source) -> str:
    for kind, _, end in _boxes(source, 0, source.size):
        if end > source.size:
            return f"the picture ends inside its {kind.decode('ascii', 'replace')} box"
    return ""


# SVG: version 2, chapter 8

_PROLOGUE = re.compile(r"\s*(?:<\?.*?\?>|<!--.*?-->|<!DOCTYPE[^>\[]*(?:\[.*?\]\s*)?>)", re.DOTALL)
_ROOT = re.compile(r"\s*<(?:[\w.-]+:)?svg(?=[\s/>])([^>]*)")
_CLOSING = re.compile(rb"</(?:[\w.-]+:)?svg\s*>")
_NUMBER = r"[0-9]{1,9}(?:\.[0-9]{0,9})?"
_VIEW_BOX = re.compile(rf"""\sviewBox\s*=\s*["'][^"']*?({_NUMBER})[\s,]+({_NUMBER})\s*["']""")
#: CSS pixels; a percentage or a font's unit says nothing here.
_UNITS = {"": 1.0, "px": 1.0, "pt": 96 / 72, "pc": 16.0, "in": 96.0, "cm": 96 / 2.54, "mm": 96 / 25.4}
#: What CSS gives a picture that names no size.
_SVG_DEFAULT = (300.0, 150.0)


def _svg(source: _Source) -> _Measure:
    text = source.read(0, SVG_HEAD_BYTES).decode("utf-8", "replace").removeprefix("\ufeff")
    offset = 0
    while found := _PROLOGUE.match(text, offset):
        offset = found.end()
    root = _ROOT.match(text, offset)
    if root is None:
        raise BadRequest("These bytes are text with markup, but not an SVG; send a picture.", allowed=tuple(FORMATS))
    box = _VIEW_BOX.search(root[1])
    fallback = (float(box[1]), float(box[2])) if box else _SVG_DEFAULT
    sides = (_svg_side(root[1], name, other) for name, other in zip(("width", "height"), fallback, strict=True))
    width, height = (max(1, round(side)) for side in sides)
    return width, height, True


def _svg_side(attributes: str, name: str, fallback: float) -> float:
    found = re.search(rf"""\s{name}\s*=\s*["']\s*({_NUMBER})([a-z]*)\s*["']""", attributes)
    return float(found[1]) * _UNITS[found[2]] if found and found[2] in _UNITS else fallback


def _svg_flaw(source: _Source) -> str:
    tail = source.read(-SVG_HEAD_BYTES, SVG_HEAD_BYTES)
    return "" if _CLOSING.search(tail) else "the SVG ends before its closing tag"


_MEASURES: dict[str, Callable[[_Source], _Measure]] = {
    "png": _png,
    "jpeg": _jpeg,
    "webp": _webp,
    "gif": _gif,
    "bmp": _bmp,
    "tiff": _tiff,
    "heic": _isobmff,
    "avif": _isobmff,
    "svg": _svg,
}
_FLAWS: dict[str, Callable[[_Source], str]] = {
    "png": _png_flaw,
    "jpeg": _jpeg_flaw,
    "webp": _webp_flaw,
    "gif": _gif_flaw,
    "heic": _isobmff_flaw,
    "avif": _isobmff_flaw,
    "svg": _svg_flaw,
}
