"""Draws the picture a test key gets: pleasant to look at, and a telltale of what was asked for.

A painting by prompt and seed, and on it a small card with the prompt, the model, the size, the seed and whatever
`label` says. An edit shows the picture it started from.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import msgspec

from pictura.core.errors import BadRequest
from pictura.core.media import FORMATS
from pictura.infra.vips import vips
from pictura.sandbox.fonts import readable, typeset
from pictura.sandbox.paintings import paint
from pictura.sandbox.palettes import Palette, mix, rgb

if TYPE_CHECKING:
    import pyvips

#: On a picture smaller than this (pixels) nobody could read the card.
SMALLEST_CARD = (160, 120)
#: Pixels on the long side: what has no hard edges is made this small, then enlarged.
BLURRED_SIDE, MASK_SIDE = 128, 1024
#: How files begin that vendors take and libvips has no decoder for (BMP): what is in them is imagined.
UNDECODED = (b"BM",)
#: From nothing at the upper left to everything at the lower right.
TURN = (
    '<linearGradient id="turn" x1="0" y1="0" x2="1" y2="1">'
    '<stop offset=".3" stop-opacity="0"/><stop offset=".7"/></linearGradient>'
    '<rect width="100%" height="100%" fill="url(#turn)"/>'
)


class Scene(msgspec.Struct, frozen=True):
    """What to draw. The same scene gives the same bytes.

    `format` is png, jpeg, webp or svg; `compression` 0-100 is the quality of jpeg and webp. `transparent` makes the
    painting a sticker on an empty ground; a jpeg stays opaque. `base` is the encoded picture an edit starts from; of
    `mask` the transparent part, or the white part where it has no alpha, is where the edit shows. `kept`: nothing is
    painted, the base itself is shown in this size. An svg is the painting alone.
    """

    model: str
    prompt: str
    width: int
    height: int
    seed: int = 0
    format: str = "png"
    transparent: bool = False
    compression: int | None = None
    label: str = ""
    base: bytes | None = None
    mask: bytes | None = None
    kept: bool = False

    @property
    def media_type(self) -> str:
        return FORMATS[self.format].type

    @property
    def sticker(self) -> bool:
        return self.transparent and self.format != "jpeg"


def draw(scene: Scene) -> bytes:
    """The encoded picture. Keeps a processor busy: call it in a thread.

    Raises BadRequest for a `base` or a `mask` that is no picture.
    """
    if scene.kept and scene.base is not None:
        return _encode(_kept(scene.base, scene), scene)
    svg, palette = paint(scene.prompt, scene.seed, scene.model, scene.width, scene.height)
    if scene.format == "svg":
        return svg.encode()
    picture = _raster(svg).flatten()
    if scene.base is not None and scene.mask is not None:
        picture = _inpainted(picture, scene.base, scene.mask)
    elif scene.base is not None:
        picture = _framed(picture, scene.base)
    picture = _with_card(picture.copy_memory(), scene, palette)
    return _encode(_cut_out(picture) if scene.sticker else picture, scene)


def _encode(picture: pyvips.Image, scene: Scene) -> bytes:
    quality = 85 if scene.compression is None else max(1, scene.compression)
    options: dict[str, dict[str, int]] = {
        "png": {"compression": 6},
        "jpeg": {"Q": quality},
        "webp": {"Q": quality, "effort": 2},
    }
    encoded: bytes = picture.write_to_buffer(f".{scene.format}", keep="none", **options[scene.format])
    return encoded


# -- from vectors and files to pixels --


def _raster(svg: str) -> pyvips.Image:
    return vips().Image.svgload_buffer(svg.encode(), unlimited=True)


def _shape(width: int, height: int, element: str) -> pyvips.Image:
    """One band, 255 inside an SVG element."""
    return _raster(f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}">{element}</svg>')[3]


def _box(inset: float, width: float, height: float, radius: float = 0.0, look: str = "") -> str:
    """A rounded box `inset` from all sides of an area."""
    across, down = width - 2 * inset, height - 2 * inset
    return f'<rect x="{inset}" y="{inset}" width="{across:.2f}" height="{down:.2f}" rx="{radius:.2f}" {look}/>'


def _open(name: str, data: bytes, width: int, height: int) -> pyvips.Image:
    """An input picture, cropped to fill the given size and decoded no larger than that needs."""
    if data.startswith(UNDECODED):
        return _raster(paint(f"{name} {len(data)}", len(data), "", width, height)[0]).flatten()
    try:
        opened = vips().Image.thumbnail_buffer(data, width, height=height, crop="centre")
        return opened.colourspace("srgb").cast("uchar").copy_memory()
    except vips().Error as error:
        raise BadRequest(
            f"the {name} is not a picture that can be read; send a PNG, JPEG or WebP", param=name
        ) from error


def _opaque(picture: pyvips.Image) -> pyvips.Image:
    return picture.flatten(background=[255.0]) if picture.hasalpha() else picture


def _shrunk(width: int, height: int, side: int) -> tuple[int, int]:
    scale = min(1.0, side / max(width, height))
    return max(1, round(width * scale)), max(1, round(height * scale))


def _enlarged(picture: pyvips.Image, width: int, height: int) -> pyvips.Image:
    scaled = picture.resize(width / picture.width, vscale=height / picture.height, kernel="cubic")
    return scaled.embed(0, 0, width, height, extend="copy")


# -- edits and stickers --


def _kept(base: bytes, scene: Scene) -> pyvips.Image:
    """The base as it is, in another size or cut out."""
    picture = _open("image", base, scene.width, scene.height)
    if scene.sticker:
        return _cut_out(_opaque(picture))
    return _opaque(picture) if scene.format == "jpeg" else picture


def _inpainted(painting: pyvips.Image, base: bytes, mask: bytes) -> pyvips.Image:
    """The base, the painting where the mask has a hole, and a bright rim between them."""
    width, height = painting.width, painting.height
    small = _open("mask", mask, *_shrunk(width, height, MASK_SIDE))
    hole = small[small.bands - 1].invert() if small.hasalpha() else small[0]
    edge, wide_edge = hole.gaussblur(1.2), hole.gaussblur(2.5) / 255
    rim = (wide_edge * (1 - wide_edge) * 800).cast("uchar")
    before = _opaque(_open("image", base, width, height))
    picture = _enlarged(edge, width, height).ifthenelse(painting, before, blend=True)
    return _enlarged(rim, width, height).ifthenelse(255, picture, blend=True)


def _framed(painting: pyvips.Image, base: bytes) -> pyvips.Image:
    """The base out of focus, and hung before it a print in which the base turns into the painting."""
    width, height = painting.width, painting.height
    inset = round(min(width, height) * 0.075)
    mat = inset // 6
    inner_width, inner_height = width - 2 * inset, height - 2 * inset
    before = _opaque(_open("image", base, inner_width, inner_height))
    after = painting.crop(inset, inset, inner_width, inner_height)
    turned = _shape(inner_width, inner_height, TURN).ifthenelse(after, before, blend=True)
    sheet = turned.embed(mat, mat, inner_width + 2 * mat, inner_height + 2 * mat, extend="white")
    return _wall(base, width, height, inset / min(width, height)).insert(sheet, inset - mat, inset - mat)


def _wall(base: bytes, width: int, height: int, inset: float) -> pyvips.Image:
    """The base so soft that only its colours are left, under the shadow of what hangs `inset` from its edges."""
    small = _shrunk(width, height, BLURRED_SIDE)
    blurred = _opaque(_open("image", base, *small)).gaussblur(2.5)
    at = inset * min(small)
    shadow = (_shape(*small, _box(at, *small)).gaussblur(at / 4 + 0.3) * 0.7).cast("uchar")
    return _enlarged(shadow.ifthenelse(0, blurred, blend=True), width, height)


def _cut_out(picture: pyvips.Image) -> pyvips.Image:
    """The picture as a sticker: a rounded shape with a white edge on an empty ground."""
    width, height = picture.width, picture.height
    short = min(width, height)
    margin, edge, radius = short * 0.06, short * 0.014, short * 0.2
    inner = _shape(width, height, _box(margin + edge, width, height, radius - edge))
    return inner.ifthenelse(picture, 255, blend=True).bandjoin(
        _shape(width, height, _box(margin, width, height, radius))
    )


# -- the card --


def _with_card(picture: pyvips.Image, scene: Scene, palette: Palette) -> pyvips.Image:
    """Lays the caption on the lower left of the picture, on a sticker clear of the scissors."""
    width, height = picture.width, picture.height
    if width < SMALLEST_CARD[0] or height < SMALLEST_CARD[1]:
        return picture
    short = min(width, height)
    size = max(11.0, 0.025 * min(short * 1.3, math.sqrt(width * height)))
    margin, pad = round(short * (0.14 if scene.sticker else 0.04)), round(size * 0.8)
    ink = _caption(scene, size, min(width - 2 * margin, round(size * 38)) - 2 * pad)
    ink = ink.embed(pad, pad, ink.width + 2 * pad, ink.height + 2 * pad - round(size * 0.25))
    top = height - margin - ink.height
    card = _card(picture.crop(margin, top, ink.width, ink.height), ink, palette, size * 0.6)
    return picture.insert(card, margin, top)


def _caption(scene: Scene, size: float, width: int) -> pyvips.Image:
    """The prompt and under it, smaller and paler, the facts: one band of ink."""
    facts = [scene.model, f"{scene.width}×{scene.height}", f"seed {scene.seed}", scene.label]
    told = (typeset(" · ".join(filter(None, facts)), max(10.0, size * 0.7), width, 2) * 0.78).cast("uchar")
    if not readable(scene.prompt):
        return told
    most = max(1, min(4, int(scene.height * 0.2 / (size * 1.5))))
    return typeset(scene.prompt, size, width, most).join(told, "vertical", expand=True, shim=round(size * 0.3))


def _card(behind: pyvips.Image, ink: pyvips.Image, palette: Palette, radius: float) -> pyvips.Image:
    """Frosted glass in front of a piece of the picture, written on in the picture's own colours."""
    width, height = ink.width, ink.height
    far, near = palette.land
    paper, pen = (mix(near, far, 0.15), "#ffffff") if palette.night else ("#ffffff", mix(near, "#000000", 0.25))
    frost = _enlarged(behind.resize(1 / 16, kernel="linear").gaussblur(1.2), width, height)
    glass = (frost * 0.24 + [channel * 0.76 for channel in rgb(paper)]).cast("uchar")
    written = ink.ifthenelse(list(rgb(pen)), glass, blend=True)
    rim = _shape(width, height, _box(0.5, width, height, radius, 'fill="none" stroke="#fff" stroke-opacity=".25"'))
    framed = rim.ifthenelse(255, written, blend=True)
    return _shape(width, height, _box(0, width, height, radius)).ifthenelse(framed, behind, blend=True)
