import hashlib
import io
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from xml.etree import ElementTree

import msgspec
import pytest
from PIL import Image, ImageChops, ImageStat

from pictura.core.errors import BadRequest
from pictura.core.media import Media, sniff
from pictura.sandbox.draw import Scene, draw

CHINESE = "雪山脚下的小村庄，清晨的炊烟，水墨画风格"


SCENE = Scene(model="gpt-image-2", prompt="a quiet harbour", width=512, height=384)


def scene(**changes: object) -> Scene:
    return msgspec.structs.replace(SCENE, **changes)


def opened(data: bytes) -> Image.Image:
    picture = Image.open(io.BytesIO(data))
    picture.load()
    return picture


def drawn(**changes: object) -> Image.Image:
    return opened(draw(scene(**changes)))


def card(picture: Image.Image) -> Image.Image:
    """The lower left, where the caption lies."""
    return picture.convert("RGB").crop((0, int(picture.height * 0.6), int(picture.width * 0.8), picture.height))


def distance(first: Image.Image, second: Image.Image) -> float:
    """The mean difference of two pictures, 0-255."""
    means = ImageStat.Stat(ImageChops.difference(first.convert("RGB"), second.convert("RGB"))).mean
    return sum(means) / len(means)


def flat(color: str, size: tuple[int, int] = (600, 400)) -> bytes:
    return encoded(Image.new("RGB", size, color))


def encoded(picture: Image.Image) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, "PNG")
    return buffer.getvalue()


@pytest.mark.parametrize("kind", ["png", "jpeg", "webp"])
def test_a_picture_has_the_size_and_format_asked_for(kind: str) -> None:
    picture = drawn(format=kind, width=640, height=360)
    assert (picture.format, picture.size, picture.mode) == (kind.upper(), (640, 360), "RGB")
    assert min(ImageStat.Stat(picture).stddev) > 5


@pytest.mark.parametrize("kind", ["png", "webp"])
def test_transparent_means_an_empty_ground_around_an_opaque_painting(kind: str) -> None:
    picture = drawn(format=kind, transparent=True, width=512, height=512)
    assert picture.mode == "RGBA"
    alpha = picture.getchannel("A")
    assert [alpha.getpixel(corner) for corner in ((0, 0), (511, 0), (0, 511), (511, 511))] == [0, 0, 0, 0]
    assert alpha.getpixel((256, 256)) == 255
    assert alpha.crop((75, 300, 437, 440)).getextrema() == (255, 255)


def test_a_jpeg_stays_opaque() -> None:
    assert draw(scene(format="jpeg", transparent=True)) == draw(scene(format="jpeg"))


@pytest.mark.parametrize("kind", ["jpeg", "webp"])
def test_compression_is_the_quality(kind: str) -> None:
    sizes = [len(draw(scene(format=kind, compression=quality))) for quality in (0, 50, 100)]
    assert sizes == sorted(sizes) and sizes[0] < sizes[2] / 2


@pytest.mark.parametrize("prompt", ["a quiet harbour", CHINESE, "abstract", "lamps", "garden", "cyberpunk city", "hm"])
def test_the_same_scene_gives_the_same_bytes_in_any_thread(prompt: str) -> None:
    with ThreadPoolExecutor(4) as threads:
        pictures = set(threads.map(draw, [scene(prompt=prompt, width=256, height=256)] * 4))
    assert len(pictures) == 1


def test_model_prompt_seed_and_label_all_show() -> None:
    changes: list[dict[str, object]] = [
        {}, {"model": "flux-2-pro"}, {"prompt": "a loud harbour"}, {"seed": 1}, {"label": "n 2/3"}
    ]  # fmt: skip
    assert len({hashlib.sha256(draw(scene(**change))).digest() for change in changes}) == len(changes)


def test_the_painting_differs_by_seed_and_not_by_label() -> None:
    sky = (0, 0, 512, 200)
    first, other_seed, other_label = drawn(), drawn(seed=1), drawn(label="quality high")
    assert distance(first.crop(sky), other_seed.crop(sky)) > 1
    assert distance(first.crop(sky), other_label.crop(sky)) == 0
    assert distance(card(first), card(other_label)) > 0


def test_a_chinese_prompt_is_written_on_the_card_and_nowhere_else() -> None:
    # With a mask that has no hole only the card is drawn upon the base.
    bare = {"base": flat("#ff0000"), "mask": encoded(Image.new("L", (600, 400), 0))}
    silent, chinese = drawn(prompt="", **bare), drawn(prompt=CHINESE, **bare)
    assert distance(card(silent), card(chinese)) > 3
    assert distance(silent.crop((0, 0, 512, 230)), chinese.crop((0, 0, 512, 230))) == 0


@pytest.mark.parametrize("prompt", ["", " \n", "\u00ad", "\ud800", "\x00", "🦊🚀", "مرحبا", "<b>&amp;", "a" * 40_000])
def test_no_prompt_is_too_odd(prompt: str) -> None:
    assert drawn(prompt=prompt, model="<m>&", label="\u202e").size == (512, 384)


SIZES = [
    (1, 1),
    (1, 600),
    (600, 1),
    (8, 8),
    (16, 64),
    (64, 64),
    (160, 120),
    (160, 1600),
    (2400, 128),
    (4096, 64),
    (64, 4096),
]


@pytest.mark.parametrize("size", SIZES, ids=str)
@pytest.mark.parametrize("kind", ["plain", "sticker", "edit", "masked"])
def test_every_size_can_be_drawn(size: tuple[int, int], kind: str) -> None:
    base = flat("teal")
    kinds: dict[str, dict[str, object]] = {
        "plain": {},
        "sticker": {"transparent": True},
        "edit": {"base": base},
        "masked": {"base": base, "mask": encoded(Image.new("RGBA", (600, 400)))},
    }
    picture = drawn(width=size[0], height=size[1], prompt=CHINESE * 9, label="edit of 2 pictures + mask", **kinds[kind])
    assert picture.size == size


@pytest.mark.parametrize(("width", "height"), [(400, 300), (33, 500)])
def test_vectors_are_the_painting_alone(width: int, height: int) -> None:
    data = draw(scene(format="svg", width=width, height=height))
    assert sniff(lambda offset, size: data[offset:][:size], len(data)) == Media("image/svg+xml", width, height, True)
    assert len(ElementTree.fromstring(data)) > 3
    assert data != draw(scene(format="svg", width=width, height=height, seed=1))


@pytest.mark.parametrize("kind", ["png", "jpeg", "webp"])
def test_a_base_that_is_kept_is_shown_larger_and_as_it_is(kind: str) -> None:
    base = Image.new("RGBA", (60, 40), "#ff0000")
    base.paste((0, 0, 255, 0), (30, 0, 60, 40))
    larger = drawn(format=kind, width=600, height=400, base=encoded(base), kept=True)
    assert (larger.size, larger.mode) == ((600, 400), "RGB" if kind == "jpeg" else "RGBA")
    assert distance(larger.crop((50, 300, 150, 390)), Image.new("RGB", (100, 90), "#ff0000")) < 2
    assert larger.convert("RGBA").getchannel("A").getpixel((500, 200)) == (255 if kind == "jpeg" else 0)


def test_a_base_that_is_kept_is_cut_out() -> None:
    cut = drawn(width=600, height=400, base=flat("#ff0000"), kept=True, transparent=True)
    assert (cut.getchannel("A").getpixel((0, 0)), cut.getpixel((300, 200))) == (0, (255, 0, 0, 255))
    assert drawn(width=60, height=40, base=flat("#ff0000"), kept=True, transparent=True, format="jpeg").mode == "RGB"


def test_sixteen_megapixels() -> None:
    picture = drawn(width=4096, height=4096, format="jpeg")
    assert picture.size == (4096, 4096)


def test_an_edit_shows_its_base_at_one_corner_and_the_painting_at_the_other() -> None:
    base = flat("#ff0000", (900, 900))
    edit = drawn(width=600, height=600, base=base, prompt="deep blue sea").convert("RGB")
    painting = drawn(width=600, height=600, prompt="deep blue sea").convert("RGB")
    assert edit.getpixel((80, 80)) == (255, 0, 0)
    lower_right = (480, 300, 540, 360)
    assert distance(edit.crop(lower_right), painting.crop(lower_right)) < distance(
        edit.crop(lower_right), Image.new("RGB", (60, 60), "#ff0000")
    )


@pytest.mark.parametrize("alpha", [True, False], ids=["hole in alpha", "white on black"])
def test_a_masked_edit_keeps_the_base_and_paints_the_hole(alpha: bool) -> None:
    hole = (200, 60, 400, 260)
    mask = Image.new("RGBA", (600, 400), (0, 0, 0, 255)) if alpha else Image.new("L", (600, 400), 0)
    mask.paste((0, 0, 0, 0) if alpha else 255, hole)
    asked = {"width": 600, "height": 400, "prompt": "deep blue sea"}
    edit = drawn(**asked, base=flat("#ff0000"), mask=encoded(mask)).convert("RGB")
    inside = (210, 70, 390, 250)
    assert distance(edit.crop(inside), drawn(**asked).crop(inside)) == 0
    assert edit.crop((0, 0, 180, 300)).getcolors() == [(180 * 300, (255, 0, 0))]


@pytest.mark.parametrize("field", ["base", "mask"])
def test_what_is_no_picture_is_refused_by_name(field: str) -> None:
    pictures = {"base": flat("teal"), "mask": flat("white")} | {field: b"no picture at all"}
    with pytest.raises(BadRequest) as refused:
        draw(scene(**pictures))
    assert refused.value.param == {"base": "image", "mask": "mask"}[field]


def test_a_bare_machine_prints_nothing_and_keeps_nothing(tmp_path: Path) -> None:
    program = (
        "import os, sys\n"
        "from pictura.sandbox.draw import Scene, draw\n"
        "assert 'pyvips' not in sys.modules\n"
        "data = draw(Scene(model='m', prompt='雪山', width=300, height=300))\n"
        "assert os.environ['FONTCONFIG_FILE'] == 'missing.conf'\n"
        "sys.stdout.buffer.write(data)\n"
    )
    home = tmp_path / "home"
    home.mkdir()
    source = Path(__file__).parents[2] / "src"
    bare = {
        "HOME": str(home),
        "XDG_CACHE_HOME": str(home),
        "FONTCONFIG_FILE": "missing.conf",
        "PYTHONPATH": str(source),
    }
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True, env=bare, cwd=tmp_path)
    assert done.stderr == b""
    assert done.stdout == draw(Scene(model="m", prompt="雪山", width=300, height=300))
    assert list(home.iterdir()) == []
