from __future__ import annotations

import asyncio
import io
import struct
import subprocess
import sys
import threading
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image, ImageChops, ImageCms, features

from pictura.core.errors import BadRequest, Unsupported
from pictura.core.media import Media, sniff
from pictura.infra.imaging import Imaging
from pictura.infra.spool import MEMORY_BYTES, Spool


class Bench:
    """Imaging with a folder, and every spool that was opened on the way."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.imaging = Imaging(2)
        self.opened: list[Spool] = []

    def open_spool(self) -> Spool:
        self.opened.append(Spool(self.folder))
        return self.opened[-1]

    def spool(self, data: bytes) -> Spool:
        spool = self.open_spool()
        spool.write(data)
        return spool

    async def convert(self, data: bytes, format: str, compression: int | None = None) -> Image.Image:
        """The result as Pillow reads it, after checking that the house's own view agrees."""
        result = await self.imaging.transcode(self.spool(data), self.open_spool, format=format, compression=compression)
        media = sniff(result.read, result.size)
        assert media.type == result.media_type == f"image/{format}"
        picture = Image.open(io.BytesIO(result.read()))
        picture.load()
        assert (media.width, media.height) == picture.size
        return picture

    def close(self) -> None:
        self.imaging.close()
        for spool in self.opened:
            spool.close()


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    bench = Bench(tmp_path)
    yield bench
    bench.close()
    assert list(tmp_path.iterdir()) == []


def saved(picture: Image.Image, format: str, **options: Any) -> bytes:
    out = io.BytesIO()
    picture.save(out, format, **options)
    return out.getvalue()


def scene(size: tuple[int, int] = (120, 80)) -> Image.Image:
    """Smooth, so that a lossy format stays close, and different in every corner."""
    across = Image.linear_gradient("L").rotate(90).resize(size)
    down = Image.linear_gradient("L").resize(size)
    return Image.merge("RGB", (across, down, Image.new("L", size, 40)))


def cut_out() -> Image.Image:
    """The scene, transparent on its right half."""
    picture = scene().convert("RGBA")
    alpha = Image.new("L", picture.size, 255)
    alpha.paste(0, (60, 0, 120, 80))
    picture.putalpha(alpha)
    return picture


def distance(one: Image.Image, other: Image.Image) -> float:
    """Mean difference per channel, 0 to 255."""
    assert one.size == other.size
    histogram = ImageChops.difference(one.convert("RGB"), other.convert("RGB")).histogram()
    total = sum(count * (index % 256) for index, count in enumerate(histogram))
    return total / (3 * one.width * one.height)


def greyscale_profile(gamma: float) -> bytes:
    """The smallest ICC 2.4 profile of a grey screen: four tags."""
    white = struct.pack(">3i", 63190, 65536, 54061)
    tags = {
        b"desc": b"desc\0\0\0\0" + struct.pack(">I", 5) + b"grey\0" + bytes(78) + b"\0",
        b"cprt": b"text\0\0\0\0none\0\0\0\0",
        b"wtpt": b"XYZ \0\0\0\0" + white,
        b"kTRC": b"curv\0\0\0\0" + struct.pack(">IHxx", 1, int(gamma * 256)),
    }
    table, body, start = struct.pack(">I", len(tags)), b"", 132 + 12 * len(tags)
    for name, tag in tags.items():
        table += name + struct.pack(">II", start + len(body), len(tag))
        body += tag
    head = struct.pack(">I4sI4s4s4s", start + len(body), b"lcms", 0x02400000, b"mntr", b"GRAY", b"XYZ ")
    return head + bytes(12) + b"acsp" + bytes(28) + white + bytes(48) + table + body


SOURCES: dict[str, Callable[[], bytes]] = {
    "png": lambda: saved(scene(), "png"),
    "jpeg": lambda: saved(scene(), "jpeg", quality=95),
    "webp": lambda: saved(scene(), "webp", quality=95),
    "webp lossless": lambda: saved(scene(), "webp", lossless=True),
    "gif": lambda: saved(scene(), "gif"),
    "tiff": lambda: saved(scene(), "tiff", compression="tiff_lzw"),
    "png palette": lambda: saved(scene().quantize(256), "png"),
    "gif animated": lambda: saved(scene(), "gif", save_all=True, append_images=[Image.new("RGB", (120, 80))]),
}
if features.check("avif"):
    SOURCES["avif"] = lambda: saved(scene(), "avif", quality=95)


@pytest.mark.parametrize("format", ["png", "jpeg", "webp"])
@pytest.mark.parametrize("source", SOURCES)
async def test_pixels_are_kept(bench: Bench, source: str, format: str) -> None:
    picture = await bench.convert(SOURCES[source](), format)
    assert distance(picture, scene()) < 6


async def test_png_keeps_every_bit(bench: Bench) -> None:
    noise = Image.merge("RGB", [Image.effect_noise((300, 200), 80) for _ in range(3)])
    data = saved(noise, "webp", lossless=True)
    assert len(data) > MEMORY_BYTES
    assert (await bench.convert(data, "png")).tobytes() == noise.tobytes()


@pytest.mark.parametrize("format", ["png", "webp"])
@pytest.mark.parametrize("source", ["png", "webp", "tiff"])
async def test_transparency_is_kept(bench: Bench, source: str, format: str) -> None:
    picture = await bench.convert(saved(cut_out(), source), format)
    assert picture.mode == "RGBA"
    assert picture.getchannel("A").tobytes() == cut_out().getchannel("A").tobytes()


async def test_transparency_becomes_white_in_jpeg(bench: Bench) -> None:
    on_white = Image.new("RGB", (120, 80), "white")
    on_white.paste(cut_out(), mask=cut_out().getchannel("A"))
    assert distance(await bench.convert(saved(cut_out(), "png"), "jpeg"), on_white) < 3


async def test_transparency_of_16_bits_becomes_white_in_jpeg(bench: Bench) -> None:
    row = b"\0" + struct.pack(">4H", 0x8000, 0x8000, 0x8000, 0) * 8
    parts = [
        (b"IHDR", struct.pack(">IIBBBBB", 8, 8, 16, 6, 0, 0, 0)),
        (b"IDAT", zlib.compress(row * 8)),
        (b"IEND", b""),
    ]
    data = b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body)) for kind, body in parts
    )
    assert (await bench.convert(data, "jpeg")).getpixel((4, 4)) == (255, 255, 255)


async def test_grey_with_alpha_becomes_white_in_jpeg(bench: Bench) -> None:
    data = saved(Image.new("LA", (8, 8), (10, 0)), "png")
    assert (await bench.convert(data, "jpeg")).getpixel((4, 4)) == 255


@pytest.mark.parametrize("format", ["jpeg", "webp"])
async def test_compression_is_the_quality(bench: Bench, format: str) -> None:
    data = saved(Image.effect_noise((200, 200), 50).convert("RGB"), "png")
    for compression in (0, 40, 100, None):
        await bench.convert(data, format, compression)
    lowest, middle, best, default = (spool.size for spool in bench.opened[1::2])
    assert lowest < middle < default < best


async def test_compression_is_no_matter_for_png(bench: Bench) -> None:
    for compression in (0, 100):
        await bench.convert(SOURCES["jpeg"](), "png", compression)
    assert bench.opened[1].read() == bench.opened[3].read()


async def test_only_the_profile_of_the_metadata_stays(bench: Bench) -> None:
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    exif = Image.Exif()
    exif[0x010E] = "where I live"
    data = saved(scene(), "jpeg", icc_profile=profile, exif=exif, comment=b"where I live")
    for format in ("png", "jpeg", "webp"):
        picture = await bench.convert(data, format)
        assert picture.info["icc_profile"] == profile
        assert b"where I live" not in bench.opened[-1].read()


@pytest.mark.parametrize("orientation", range(1, 9))
async def test_an_orientation_is_applied(bench: Bench, orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    turned = {
        1: scene(),
        2: scene().transpose(Image.Transpose.FLIP_LEFT_RIGHT),
        3: scene().transpose(Image.Transpose.ROTATE_180),
        4: scene().transpose(Image.Transpose.FLIP_TOP_BOTTOM),
        5: scene().transpose(Image.Transpose.TRANSPOSE),
        6: scene().transpose(Image.Transpose.ROTATE_270),
        7: scene().transpose(Image.Transpose.TRANSVERSE),
        8: scene().transpose(Image.Transpose.ROTATE_90),
    }
    data = saved(scene(), "jpeg", quality=95, exif=exif)
    picture = await bench.convert(data, "png")
    assert distance(picture, turned[orientation]) < 3
    assert 0x0112 not in picture.getexif()


async def test_an_orientation_is_applied_to_a_large_picture(bench: Bench) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    large = scene((1500, 1000))
    picture = await bench.convert(saved(large, "jpeg", quality=95, exif=exif), "jpeg")
    assert distance(picture, large.transpose(Image.Transpose.ROTATE_270)) < 3


@pytest.mark.parametrize("format", ["png", "jpeg", "webp"])
async def test_cmyk_becomes_rgb(bench: Bench, format: str) -> None:
    data = saved(Image.new("CMYK", (16, 16), (0, 255, 255, 0)), "jpeg")
    picture = await bench.convert(data, format)
    assert picture.mode == "RGB"
    red, green, blue = picture.convert("RGB").resize((1, 1)).tobytes()
    assert red > 180 and green < 80 and blue < 80


async def test_a_grey_profile_counts_in_webp(bench: Bench) -> None:
    data = saved(Image.new("L", (16, 16), 100), "png", icc_profile=greyscale_profile(1.0))
    picture = await bench.convert(data, "webp")
    # 100/255 of the light is 168 in sRGB, not 100.
    assert abs(picture.convert("L").resize((1, 1)).tobytes()[0] - 168) < 4


async def test_16_bits_stay_in_png_and_become_8_elsewhere(bench: Bench) -> None:
    data = saved(Image.new("I;16", (16, 16), 0x8000), "png")
    assert (await bench.convert(data, "png")).getpixel((3, 3)) == 0x8000
    assert (await bench.convert(data, "jpeg")).getpixel((3, 3)) == 0x80


@pytest.mark.parametrize("size", [(40, 40), (600, 400)])
async def test_the_source_stays_as_it_is(bench: Bench, size: tuple[int, int]) -> None:
    data = saved(Image.effect_noise(size, 60), "png")
    source = bench.spool(data)
    assert (source.path is None) == (len(data) <= MEMORY_BYTES)
    await bench.imaging.transcode(source, bench.open_spool, format="jpeg")
    assert source.read() == data


@pytest.mark.parametrize("format", ["png", "jpeg", "webp", "gif"])
async def test_a_picture_cut_short_is_refused(bench: Bench, format: str) -> None:
    data = saved(Image.effect_noise((300, 300), 60).convert("RGB"), format)
    with pytest.raises(BadRequest) as caught:
        await bench.convert(data[: len(data) * 2 // 3], "png")
    assert str(bench.folder) not in caught.value.message
    with pytest.raises(ValueError, match="closed"):
        bench.opened[-1].read()


async def test_a_damaged_picture_is_refused(bench: Bench) -> None:
    data = bytearray(saved(scene(), "png"))
    middle = data.index(b"IDAT") + 10
    data[middle : middle + 60] = bytes(60)
    with pytest.raises(BadRequest, match="damaged"):
        await bench.convert(bytes(data), "jpeg")


async def test_what_is_no_picture_is_refused(bench: Bench) -> None:
    with pytest.raises(BadRequest, match="not a picture"):
        await bench.convert(b'{"error": 1}', "png")


@pytest.mark.parametrize("data", [b'<svg width="9" height="9"></svg>', saved(scene(), "bmp")], ids=["svg", "bmp"])
async def test_a_format_without_a_safe_decoder_is_refused(bench: Bench, data: bytes) -> None:
    with pytest.raises(BadRequest, match="cannot be converted"):
        await bench.convert(data, "png")


async def test_a_bomb_never_reaches_the_decoder(bench: Bench) -> None:
    head = struct.pack(">I4sIIBBBBB", 13, b"IHDR", 60_000, 60_000, 8, 2, 0, 0, 0)
    with pytest.raises(BadRequest, match="60000×60000"):
        await bench.convert(b"\x89PNG\r\n\x1a\n" + head + bytes(100), "jpeg")
    assert len(bench.opened) == 1, "no output was begun"


async def test_the_largest_picture_is_a_setting(bench: Bench) -> None:
    small = Imaging(1, max_pixels=120 * 80 - 1)
    with pytest.raises(BadRequest, match="120×80"):
        await small.transcode(bench.spool(SOURCES["png"]()), bench.open_spool, format="jpeg")
    small.close()


async def test_a_header_that_lies_does_not_pass_either(bench: Bench) -> None:
    data = bytearray(SOURCES["gif"]())
    data[6:10] = struct.pack("<HH", 10, 10)  # the canvas; the frame in it stays as it is
    source, strict = bench.spool(bytes(data)), Imaging(1, max_pixels=5000)
    assert sniff(source.read, source.size).pixels == 100
    with pytest.raises(BadRequest, match="120×80"):
        await strict.transcode(source, bench.open_spool, format="jpeg")
    strict.close()


async def test_a_side_too_long_for_the_format_names_what_holds_it(bench: Bench) -> None:
    data = saved(Image.new("1", (16_384, 1)), "png")
    with pytest.raises(Unsupported, match="16383") as caught:
        await bench.convert(data, "webp")
    assert caught.value.allowed == ("png", "jpeg")
    assert (await bench.convert(data, "jpeg")).size == (16_384, 1)


async def test_other_wishes_are_refused(bench: Bench) -> None:
    with pytest.raises(Unsupported) as caught:
        await bench.convert(SOURCES["png"](), "gif")
    assert (caught.value.param, caught.value.allowed) == ("output_format", ("png", "jpeg", "webp"))
    for compression in (-1, 101):
        with pytest.raises(Unsupported) as caught:
            await bench.convert(SOURCES["png"](), "webp", compression)
        assert caught.value.param == "output_compression"


class FullDisk(Spool):
    def write(self, data: bytes | bytearray | memoryview) -> None:
        raise OSError(28, "No space left on device")


@pytest.mark.parametrize("format", ["png", "jpeg", "webp"])
async def test_a_full_disk_is_not_blamed_on_the_picture(bench: Bench, format: str) -> None:
    source = bench.spool(SOURCES["png"]())
    with pytest.raises(OSError, match="No space left"):
        await bench.imaging.transcode(source, lambda: FullDisk(bench.folder), format=format)


async def test_many_at_once_all_arrive(bench: Bench) -> None:
    colours = [(index * 10, 200 - index * 10, 90) for index in range(20)]
    pictures = await asyncio.gather(
        *(bench.convert(saved(Image.new("RGB", (500, 400), colour), "png"), "png") for colour in colours)
    )
    assert [picture.getpixel((250, 200)) for picture in pictures] == colours


class Gate:
    """Opens spools, once it is let; counts who enters and who waits inside."""

    def __init__(self, open_spool: Callable[[], Spool]) -> None:
        self.open = open_spool
        self.inside = threading.Semaphore(0)
        self.go = threading.Event()
        self.entered = self.now = self.most = 0
        self._lock = threading.Lock()

    def __call__(self) -> Spool:
        with self._lock:
            self.entered += 1
            self.now += 1
            self.most = max(self.most, self.now)
        self.inside.release()
        assert self.go.wait(30)
        with self._lock:
            self.now -= 1
        return self.open()


async def test_no_more_than_the_workers_convert_at_once(bench: Bench) -> None:
    gate = Gate(bench.open_spool)
    source = bench.spool(SOURCES["png"]())
    work = [asyncio.create_task(bench.imaging.transcode(source, gate, format="jpeg")) for _ in range(8)]
    for _ in range(2):
        assert await asyncio.to_thread(gate.inside.acquire, timeout=30)
    gate.go.set()
    assert len({spool.size for spool in await asyncio.gather(*work)}) == 1
    assert gate.most == 2


async def test_who_gives_up_waiting_is_never_served(bench: Bench) -> None:
    gate = Gate(bench.open_spool)
    source = bench.spool(SOURCES["png"]())
    work = [asyncio.create_task(bench.imaging.transcode(source, gate, format="jpeg")) for _ in range(3)]
    for _ in range(2):
        assert await asyncio.to_thread(gate.inside.acquire, timeout=30)
    work[2].cancel()
    gate.go.set()
    await asyncio.gather(*work, return_exceptions=True)
    await bench.convert(SOURCES["png"](), "png")
    assert gate.entered == 2


async def test_a_result_that_nobody_awaits_leaves_no_file(bench: Bench) -> None:
    closed = asyncio.Event()
    loop = asyncio.get_running_loop()

    class Watched(Spool):
        def close(self) -> None:
            super().close()
            loop.call_soon_threadsafe(closed.set)

    gate = Gate(lambda: Watched(bench.folder))
    data = saved(Image.effect_noise((600, 400), 60), "png")
    source = bench.spool(data)
    work = asyncio.create_task(bench.imaging.transcode(source, gate, format="png"))
    assert await asyncio.to_thread(gate.inside.acquire, timeout=30)
    work.cancel()
    with pytest.raises(asyncio.CancelledError):
        await work
    gate.go.set()
    async with asyncio.timeout(30):
        await closed.wait()
    assert list(bench.folder.iterdir()) == [source.path]


def test_the_library_is_loaded_only_when_needed() -> None:
    script = "import sys; from pictura.infra.imaging import Imaging; Imaging().close(); print('pyvips' in sys.modules)"
    answer = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert answer.stdout.strip() == "False"


def test_media_and_imaging_agree_on_what_can_be_written() -> None:
    from pictura.core.media import FORMATS
    from pictura.infra.imaging import _SAVERS

    assert [row.name for row in FORMATS.values() if row.writable] == list(_SAVERS)
    assert Media("image/webp", 1, 1).format in _SAVERS
