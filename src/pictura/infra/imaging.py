"""Converting pictures: libvips in threads, from spool to spool, a few rows at a time.

Threads suffice, because libvips lets go of the interpreter while it works; each conversion takes one core.
"""

from __future__ import annotations

import asyncio
import functools
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import msgspec

from pictura.core.errors import BadRequest, Unsupported
from pictura.core.media import FORMATS, MAX_PIXELS, Media, guard, sniff
from pictura.infra.spool import Spool
from pictura.infra.vips import vips

#: The decoder is chosen by what we sniffed: libvips must not see another format in the same bytes. BMP, HEIC and SVG
#: are missing: the first two have no decoder in the wheel, SVG's is not made for hostile input.
_LOADERS = {
    "png": "pngload",
    "jpeg": "jpegload",
    "webp": "webpload",
    "gif": "gifload",
    "tiff": "tiffload",
    "avif": "heifload",
}
#: Speed before the last percent of size. A synthetic photo of 1024²: PNG at level 2 with filter `up` takes 36 ms and
#: 1.67 MB (all filters at level 6: 65 ms, 1.57 MB; no filter: 38 ms, 2.52 MB); WebP of quality 90 takes 37 ms and
#: 119 KB with effort 2 (effort 4: 82 ms, 117 KB; effort 6: 156 ms, 112 KB).
_SAVERS: dict[str, dict[str, object]] = {
    "png": {"compression": 2, "filter": "up"},
    "jpeg": {},
    "webp": {"effort": 2},
}
#: From this quality on libvips keeps JPEG's full colour resolution, so text and edges stay clean.
_QUALITY = 90
_WHITE = 255
_PROFILE = "icc-profile-data"


class Imaging:
    """Converts at most `workers` pictures at once; further ones wait without a thread."""

    def __init__(self, workers: int | None = None, max_pixels: int = MAX_PIXELS) -> None:
        workers = workers or os.cpu_count() or 1
        self._threads = ThreadPoolExecutor(workers, thread_name_prefix="imaging")
        self._room = asyncio.Semaphore(workers)
        self._max_pixels = max_pixels

    async def transcode(
        self, source: Spool, open_spool: Callable[[], Spool], *, format: str, compression: int | None = None
    ) -> Spool:
        """The picture as png, jpeg or webp, in a spool that the caller closes; `source` stays as it is.

        `compression` is OpenAI's `output_compression`, 0 to 100: the quality of a JPEG or WebP (90 where it is None),
        ignored for PNG. Transparent pixels become white in a JPEG. Of the metadata only the colour profile stays; an
        EXIF orientation is applied. Of an animation the first frame is taken. CMYK becomes sRGB; 16 bits a channel
        stay in a PNG and become 8 elsewhere.

        Raises BadRequest for a broken, unknown or too large picture, Unsupported for another `format`, a
        `compression` out of range, or a side longer than the format can hold.
        """
        options = _options(format, compression)
        async with self._room:
            convert = functools.partial(self._convert, source, open_spool, format, options)
            work = asyncio.get_running_loop().run_in_executor(self._threads, convert)
            try:
                return await asyncio.shield(work)
            except asyncio.CancelledError:
                work.add_done_callback(_discard)
                raise

    def close(self) -> None:
        """Waits for the conversions under way; those that have not begun are cancelled."""
        self._threads.shutdown(cancel_futures=True)

    def _convert(
        self, source: Spool, open_spool: Callable[[], Spool], format: str, options: dict[str, object]
    ) -> Spool:
        media = sniff(source.read, source.size)
        guard(media, self._max_pixels)
        _check_sides(media, format)
        target = open_spool()
        try:
            image = _load(source, media)
            # Asked again of the decoder itself: a container may hold a larger picture than the one we measured.
            guard(msgspec.structs.replace(media, width=image.width, height=image.height), self._max_pixels)
            _save(_prepared(image, format), target, format, options)
        except BaseException as error:
            target.close()
            if isinstance(error, vips().Error):
                raise _undecodable(media) from error
            raise
        target.media_type = FORMATS[format].type
        return target


def _options(format: str, compression: int | None) -> dict[str, object]:
    if format not in _SAVERS:
        raise Unsupported(
            f"Pictures are converted to {', '.join(_SAVERS)} only.", param="output_format", allowed=tuple(_SAVERS)
        )
    if compression is not None and not 0 <= compression <= 100:
        raise Unsupported(
            f"output_compression is {compression}; it goes from 0 to 100.",
            param="output_compression",
            allowed=("0–100",),
        )
    options = {**_SAVERS[format], "keep": "icc"}
    if format != "png":
        options["Q"] = max(1, _QUALITY if compression is None else compression)  # libvips knows no JPEG of quality 0
    return options


def _check_sides(media: Media, format: str) -> None:
    longest, limit = max(media.width, media.height), FORMATS[format].max_side
    if limit and longest > limit:
        raise Unsupported(
            f"The picture is {media.width}×{media.height}; a {format} holds at most {limit} pixels a side. Use png.",
            param="output_format",
            allowed=tuple(name for name in _SAVERS if not 0 < FORMATS[name].max_side < longest),
        )


# pyvips carries no types: its images are `Any` from here on.


def _load(source: Spool, media: Media) -> Any:
    if media.format not in _LOADERS:
        raise _undecodable(media)
    loader = _LOADERS[media.format]
    # Not through a pyvips Source: its memory is freed with the Python object, before the pixels are read.
    name, data = (loader, str(source.path)) if source.path else (f"{loader}_buffer", source.read())
    return getattr(vips().Image, name)(data, access="sequential", fail_on="error")


def _prepared(image: Any, format: str) -> Any:
    """Upright, in colours and depth that the format has, without transparency where it has none."""
    if image.get_typeof("orientation") and image.get("orientation") > 1:
        image = image.copy_memory().autorot()  # turning reads columns, which a stream of rows cannot give
    # WebP has no grey: a grey picture's profile would be lost with its meaning.
    profiled_grey = image.bands < 3 and image.get_typeof(_PROFILE)
    if image.interpretation == "cmyk" or (format == "webp" and profiled_grey):
        image = image.icc_transform("srgb", embedded=True, input_profile="cmyk")
    if format != "png" and image.format != "uchar":
        image = image.colourspace("b-w" if image.bands < 3 else "srgb")
    if format == "jpeg" and image.hasalpha():
        image = image.flatten(background=_WHITE)
    return image


def _save(image: Any, target: Spool, format: str, options: dict[str, object]) -> None:
    failures: list[Exception] = []

    def write(data: bytes) -> int:
        try:
            target.write(data)
        except Exception as error:  # it may not pass through C; a full disk is no fault of the picture
            failures.append(error)
            return -1
        return len(data)

    output = vips().TargetCustom()
    output.on_write(write)
    try:
        getattr(image, f"{format}save_target")(output, **options)
    except vips().Error:
        if failures:
            raise failures[0] from None
        raise


def _undecodable(media: Media) -> BadRequest:
    # The decoder's own words stay in the chain of exceptions: they name our files.
    return BadRequest(
        f"The {media.format} picture is damaged, or of a kind that cannot be converted; "
        f"send it whole, as one of {', '.join(_LOADERS)}."
    )


def _discard(work: asyncio.Future[Spool]) -> None:
    """Nobody waits for this conversion any more."""
    if not work.cancelled() and work.exception() is None:
        work.result().close()
