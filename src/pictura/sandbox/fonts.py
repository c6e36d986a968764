"""The one typeface of the sandbox's pictures, and how a text becomes pixels in it.

Pictura Sans (see `font/README.md`) covers Latin, Greek, Cyrillic, Chinese both simplified and traditional, Japanese
and Korean, so a picture reads the same on a bare machine and on a desktop full of fonts.
"""

from __future__ import annotations

import functools
import html
import itertools
import math
import os
import re
import struct
import threading
import unicodedata
from pathlib import Path
from typing import TYPE_CHECKING

from pictura.infra.vips import vips

if TYPE_CHECKING:
    import pyvips

FAMILY = "Pictura Sans"
FOLDER = Path(__file__).parent / "font"
FILE = FOLDER / "PicturaSans-Regular.otf"

#: The Latin letters of this face are at least this wide, in parts of its size; bounds how much text can fit.
_NARROWEST = 0.2
#: Soft hyphen and halfwidth filler: glyphs without ink, and Pango refuses a text that has none.
_INKLESS = frozenset((0xAD, 0xFFA0))
#: No card has room for more characters.
_LONGEST = 4000
#: Between the top of a line and the top of its capitals, in parts of the size.
_HEADROOM = 0.36
_loading = threading.Lock()


@functools.cache
def covered() -> frozenset[int]:
    """The code points that this face has glyphs for: its `cmap` table, format 4 (OpenType 1.9, "cmap")."""
    data = FILE.read_bytes()
    tables = {data[i : i + 4]: struct.unpack_from(">II", data, i + 8) for i in range(12, 12 + 16 * data[5], 16)}
    cmap = tables[b"cmap"][0]
    table = cmap + struct.unpack_from(">I", data, cmap + 8)[0]
    segments = struct.unpack_from(">H", data, table + 6)[0] // 2
    ends = struct.unpack_from(f">{segments}H", data, table + 14)
    starts = struct.unpack_from(f">{segments}H", data, table + 16 + segments * 2)
    runs = (range(start, min(end, 0xFFFE) + 1) for start, end in zip(starts, ends, strict=True))
    return frozenset(itertools.chain.from_iterable(runs)) - _INKLESS


def readable(text: str) -> str:
    """The beginning of `text` on one line, and with nothing in it that would come out as an empty box.

    What the face lacks is told in words: 🦊 becomes [fox face], a word in Arabic [arabic]; a rare Chinese character
    becomes 〓, as printers do.
    """
    composed = unicodedata.normalize("NFC", " ".join(text[:_LONGEST].split()))
    spelled = "".join(char if ord(char) in covered() else _spelled(char) for char in composed)
    return " ".join(re.sub(r"(\[[^]]+\])(?: ?\1)+", r"\1", spelled).split())


def _spelled(char: str) -> str:
    bare = "".join(part for part in unicodedata.normalize("NFKD", char) if not unicodedata.combining(part))
    if bare != char and covered().issuperset(map(ord, bare)):
        return bare
    category, name = unicodedata.category(char), unicodedata.name(char, "").lower()
    if name.startswith("regional indicator"):
        return name[-1].upper()
    if name.startswith("cjk "):
        return "〓"
    if category[0] == "L":
        return f"[{name.split()[0]}]"
    return f"[{name}]" if category == "So" else ""


def typeset(text: str, size: float, width: int, lines: int) -> pyvips.Image:
    """`text` as one band of ink (0-255), broken at `width` pixels and ended with … after `lines` lines.

    `size` is the em in pixels. The image is as wide as its longest line, `width` at most, and as high as its lines.
    """
    text = readable(text)
    fits = text[: math.ceil(lines * width / (size * _NARROWEST))]
    ink = _ink(fits, size, width)
    pitch = _ink("x\nx", size, width).height - _ink("x", size, width).height
    if fits != text or _rows(ink, pitch) > lines:
        ink = _ink(_longest(fits, size, width, lines, pitch), size, width)
    headroom = round(_HEADROOM * size)
    top, height = max(0, ink.get("yoffset") - headroom), _rows(ink, pitch) * pitch - headroom
    return ink.embed(0, top, min(ink.width, width), height)


def _longest(text: str, size: float, width: int, lines: int, pitch: int) -> str:
    """The most of `text` that fits with an ellipsis."""
    fit, over = 0, len(text)
    while over - fit > 1:
        middle = (fit + over) // 2
        if _rows(_ink(_ellipsized(text[:middle]), size, width), pitch) > lines:
            over = middle
        else:
            fit = middle
    return _ellipsized(text[:fit])


def _ellipsized(text: str) -> str:
    """With the dots on the line for Western text, and half-way up, as this face draws "…", for Chinese."""
    kept = text.rstrip(" ,.;:，。、；：")
    return kept + ("..." if kept[-1:] < "\u2e80" else "…")


def _rows(ink: pyvips.Image, pitch: int) -> int:
    rows: int = max(1, math.ceil((ink.get("yoffset") + ink.height - pitch * 0.15) / pitch))
    return rows


def _ink(text: str, size: float, width: int) -> pyvips.Image:
    _load_fontconfig()
    return _text(text, size, width)


def _text(text: str, size: float, width: int) -> pyvips.Image:
    # At 72 dpi a point is a pixel. Pango takes any text for markup.
    markup, font = html.escape(text, quote=False), f"{FAMILY} {size:.1f}"
    return vips().Image.text(markup, font=font, fontfile=str(FILE), dpi=72, width=width, wrap="word-char")


def _load_fontconfig() -> None:
    with _loading:
        _load_fontconfig_once()


@functools.cache
def _load_fontconfig_once() -> None:
    """Fontconfig reads its configuration at a process's first text, and complains on stderr where there is none.

    Ours names no folder, so it neither looks through the machine's fonts nor writes a cache. The variable is put back:
    a browser started from here needs the machine's fonts.
    """
    before = os.environ.get("FONTCONFIG_FILE")
    os.environ["FONTCONFIG_FILE"] = str(FOLDER / "fonts.conf")
    try:
        _text("x", 12, 100)
    finally:
        if before is None:
            del os.environ["FONTCONFIG_FILE"]
        else:
            os.environ["FONTCONFIG_FILE"] = before
