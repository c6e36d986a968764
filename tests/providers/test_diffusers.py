"""With a pipeline of random weights, where the extra is installed; it paints noise, in milliseconds, on a processor."""

from __future__ import annotations

import asyncio
import importlib
import importlib.util
import json
import warnings
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from pictura.core.errors import BadRequest, Failed, PicturaError, Refused, Rejected, Unsupported
from pictura.core.size import parse
from pictura.infra.spool import Spool
from pictura.providers.base import Ask, Channel, Done, Pending
from pictura.providers.diffusers import Diffusers
from tests.providers.conftest import Connect, Make, OpenSpools, drawn_by, followed, opened, shown

CARD = Diffusers.MODELS[0]
HERE = all(importlib.util.find_spec(name) for name in ("torch", "diffusers", "transformers"))


extra = pytest.mark.skipif(not HERE, reason="the extra pictura[diffusers] is not installed: make test-diffusers")
# Whatever these libraries warn of is not our affair.
pytestmark = pytest.mark.filterwarnings("ignore")


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A folder with a Stable Diffusion of a million random weights."""
    folder = tmp_path_factory.mktemp("pipeline")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        tiny(folder / "words").save_pretrained(folder / "tiny")
    return str(folder / "tiny")


def tiny(words: Path) -> Any:
    torch, diffusers, transformers = map(importlib.import_module, ("torch", "diffusers", "transformers"))
    torch.manual_seed(0)
    widths = (32, 64)
    unet = diffusers.UNet2DConditionModel(
        block_out_channels=widths,
        layers_per_block=1,
        sample_size=8,
        cross_attention_dim=32,
        norm_num_groups=8,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
    )
    vae = diffusers.AutoencoderKL(
        block_out_channels=(16, 16, 16, 16),
        norm_num_groups=8,
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
        latent_channels=4,
        sample_size=64,
    )
    text = transformers.CLIPTextConfig(
        hidden_size=32, intermediate_size=37, num_attention_heads=4, num_hidden_layers=1, vocab_size=300
    )
    return diffusers.StableDiffusionPipeline(
        unet=unet,
        vae=vae,
        text_encoder=transformers.CLIPTextModel(text),
        tokenizer=tokenizer(words, transformers),
        scheduler=diffusers.DDIMScheduler(clip_sample=False, set_alpha_to_one=False, steps_offset=1),
        safety_checker=None,
        feature_extractor=None,
    )


def tokenizer(words: Path, transformers: Any) -> Any:
    """Letters, and no more."""
    words.mkdir()
    letters = [chr(code) for code in range(33, 127)]
    vocabulary = [*letters, *(f"{letter}</w>" for letter in letters), "<|startoftext|>", "<|endoftext|>"]
    (words / "vocab.json").write_text(json.dumps({word: number for number, word in enumerate(vocabulary)}))
    (words / "merges.txt").write_text("#version: 0.2\n")
    return transformers.CLIPTokenizer(str(words / "vocab.json"), str(words / "merges.txt"), model_max_length=77)


@pytest.fixture
def painter() -> Diffusers:
    return Diffusers()


@pytest.fixture
def via(connect: Connect) -> Channel:
    channel = connect("")
    channel.secrets = {}
    return channel


@pytest.fixture
def asking(ask: Make, repository: str) -> Make:
    """A call of the tiny pipeline: two steps, small pictures."""

    def make(**said: object) -> Ask:
        params = {"steps": 2, **(said.pop("params", None) or {})}  # type: ignore[dict-item]
        return ask(CARD, **{"native": repository, "size": parse("64x64"), **said}, params=params)

    return make


# -- what it draws --


@extra
async def test_pictures_of_a_size_and_their_seeds(painter: Diffusers, asking: Make, via: Channel) -> None:
    said = asking(n=2, size=parse("64x96"), params={"seed": 7, "guidance_scale": 1.5})
    done, again = await drawn_by(painter, said, via), await drawn_by(painter, said, via)
    first, second = await opened(done)
    assert first.size == second.size == (64, 96)
    assert [raw.seed for raw in done.pictures] == [7, 8]
    assert (await opened(again))[0].tobytes() == first.tobytes() != second.tobytes()


@extra
async def test_without_a_seed_there_is_one(painter: Diffusers, asking: Make, via: Channel) -> None:
    first, second = [(await drawn_by(painter, asking(), via)).pictures[0].seed for _ in range(2)]
    assert first is not None and first != second


@extra
async def test_an_edit_with_the_same_weights(painter: Diffusers, asking: Make, via: Channel) -> None:
    image = shown(Image.new("RGB", (90, 70), (255, 0, 0)))
    done = await drawn_by(painter, asking(images=(image,), size=parse(""), params={"strength": 0.5, "steps": 4}), via)
    assert (await opened(done))[0].size == (96, 64)


@extra
async def test_an_inpainting(painter: Diffusers, asking: Make, via: Channel) -> None:
    image, mask = shown(Image.new("RGB", (64, 64), (255, 0, 0))), shown(Image.new("RGBA", (64, 64)))
    done = await drawn_by(painter, asking(images=(image,), mask=mask, params={"steps": 4, "strength": 0.9}), via)
    assert (await opened(done))[0].size == (64, 64)


@extra
async def test_the_progress_is_told(painter: Diffusers, asking: Make, via: Channel) -> None:
    task: Done | Pending = await painter.start(asking(params={"steps": 40}), via)
    told: list[int] = []
    while isinstance(task, Pending):
        told.append(int(task.state.get("progress", "0")))
        await asyncio.sleep(0.01)
        task = await painter.check(task, via)
    assert told == sorted(told) and told[-1] > 0


@extra
async def test_a_drawing_can_be_stopped(
    painter: Diffusers, asking: Make, via: Channel, open_spools: OpenSpools
) -> None:
    task = await painter.start(asking(params={"steps": 200}, size=parse("256x256")), via)
    waiting = asyncio.create_task(painter.start(asking(), via))
    await painter.cancel(task, via)
    assert (await followed(painter, await waiting, via)).pictures  # the hand is free again, and soon
    assert len(open_spools()) == 1
    with pytest.raises(Failed):
        await painter.check(task, via)


@extra
async def test_a_start_that_is_given_up_paints_nothing(
    painter: Diffusers, asking: Make, via: Channel, spools: list[Spool]
) -> None:
    starting = asyncio.create_task(painter.start(asking(params={"steps": 200}, size=parse("256x256")), via))
    await asyncio.sleep(0)
    starting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await starting
    assert (await drawn_by(painter, asking(), via)).pictures
    assert len(spools) == 1


# -- what goes wrong --


@extra
@pytest.mark.parametrize(
    ("said", "kind", "param"),
    [
        ({"params": {"true_cfg_scale": 4.0}}, Unsupported, "true_cfg_scale"),
        ({"params": {"strength": 0.5}}, Unsupported, "strength"),
        ({"size": parse("63x64")}, BadRequest, None),
    ],
)
async def test_what_the_pipeline_does_not_take(
    said: dict[str, object],
    kind: type[PicturaError],
    param: str | None,
    painter: Diffusers,
    asking: Make,
    via: Channel,
) -> None:
    with pytest.raises(kind) as caught:
        await drawn_by(painter, asking(**said), via)
    assert getattr(caught.value, "param", None) == param


@extra
async def test_a_pipeline_that_is_not_there(painter: Diffusers, ask: Make, via: Channel, tmp_path: Path) -> None:
    with pytest.raises(Rejected) as caught:
        await painter.start(ask(CARD, native=str(tmp_path / "nothing")), via)
    assert caught.value.config


@extra
async def test_too_little_memory_and_a_safety_checker(
    painter: Diffusers, asking: Make, via: Channel, monkeypatch: pytest.MonkeyPatch
) -> None:
    kind = importlib.import_module("diffusers").StableDiffusionPipeline
    torch = importlib.import_module("torch")
    images = [Image.new("RGB", (8, 8)) for _ in range(2)]

    def paint(pipeline: object, prompt: str, num_images_per_prompt: int, generator: object) -> object:
        if prompt == "large":
            raise torch.OutOfMemoryError("no room")
        return type("Drawn", (), {"images": images, "nsfw_content_detected": [True, prompt == "bad"]})

    monkeypatch.setattr(kind, "__call__", paint)
    with pytest.raises(Failed) as caught:
        await drawn_by(painter, asking(prompt="large", params={"steps": ""}), via)
    assert caught.value.safe_elsewhere and caught.value.message == "no room"
    with pytest.raises(Refused):
        await drawn_by(painter, asking(n=2, prompt="bad", params={"steps": ""}), via)
    done = await drawn_by(painter, asking(n=2, prompt="good", params={"steps": "", "seed": 7}), via)
    assert [raw.seed for raw in done.pictures] == [8]


async def test_no_pipeline_is_named(painter: Diffusers, ask: Make, via: Channel) -> None:
    with pytest.raises(Rejected) as caught:
        await painter.start(ask(CARD), via)
    assert caught.value.config and "models = " in caught.value.message


async def test_without_the_extra_it_says_what_to_install(
    painter: Diffusers, ask: Make, via: Channel, monkeypatch: pytest.MonkeyPatch
) -> None:
    def missing(name: str) -> object:
        raise ModuleNotFoundError(name=name)

    monkeypatch.setattr(importlib, "import_module", missing)
    with pytest.raises(Rejected) as caught:
        await painter.start(ask(CARD, native="owner/fox"), via)
    assert caught.value.config and "pictura[diffusers]" in caught.value.message


async def test_a_task_of_an_earlier_process_is_gone(painter: Diffusers, via: Channel) -> None:
    with pytest.raises(Failed) as caught:
        await painter.check(Pending(upstream_id="42"), via)
    assert caught.value.safe_elsewhere
    await painter.cancel(Pending(upstream_id="42"), via)
