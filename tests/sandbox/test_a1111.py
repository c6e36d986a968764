from __future__ import annotations

import base64
import io
from collections.abc import AsyncIterator, Callable

import msgspec
import pytest
from aiohttp import ClientSession, encode_basic_auth
from PIL import Image

from tests.sandbox.conftest import KEY

Document = dict[str, object]
MakePicture = Callable[..., bytes]


class Drawn(msgspec.Struct):
    images: list[str]
    parameters: Document
    info: str

    @property
    def told(self) -> Document:
        return msgspec.json.decode(self.info, type=Document)

    def open(self, number: int = 0) -> Image.Image:
        return Image.open(io.BytesIO(base64.b64decode(self.images[number], validate=True)))


@pytest.fixture
async def webui(address: str) -> AsyncIterator[ClientSession]:
    """A client of the API that knows user and password, as `--api-auth user:<key>` wants them."""
    headers = {"Authorization": encode_basic_auth("user", KEY)}
    async with ClientSession(f"{address}/a1111/sdapi/v1/", headers=headers) as session:
        yield session


async def draw(webui: ClientSession, path: str = "txt2img", **fields: object) -> Drawn:
    async with webui.post(path, json=fields) as answer:
        assert answer.status == 200, await answer.text()
        return msgspec.json.decode(await answer.read(), type=Drawn)


async def refusal(webui: ClientSession, path: str, fields: Document, status: int) -> Document:
    async with webui.post(path, json=fields) as answer:
        assert answer.status == status, await answer.text()
        return msgspec.json.decode(await answer.read(), type=Document)


def base64_of(picture: Image.Image) -> str:
    encoded = io.BytesIO()
    picture.save(encoded, "png")
    return base64.b64encode(encoded.getvalue()).decode()


# -- what it draws --


async def test_text_to_image_at_the_apis_own_defaults(webui: ClientSession) -> None:
    drawn = await draw(webui, prompt="a fox")
    assert (drawn.open().size, drawn.open().format) == ((512, 512), "PNG")
    assert (drawn.told["steps"], drawn.told["sampler_name"], drawn.told["sd_model_name"]) == (50, "Euler", "sandbox-v1")


async def test_pictures_differ_by_their_seeds(webui: ClientSession) -> None:
    drawn = await draw(webui, prompt="a fox", seed=7, n_iter=2, width=64, height=96)
    assert drawn.told["all_seeds"] == [7, 8]
    assert drawn.open(0).size == drawn.open(1).size == (64, 96)
    again = await draw(webui, prompt="a fox", seed=8, width=64, height=96)
    assert again.images == drawn.images[1:]


async def test_sides_are_cut_to_multiples_of_eight(webui: ClientSession) -> None:
    assert (await draw(webui, width=70, height=65)).open().size == (64, 64)


async def test_a_grid_stands_before_pictures_that_are_saved(webui: ClientSession) -> None:
    drawn = await draw(webui, n_iter=2, width=64, height=64, save_images=True)
    assert (len(drawn.images), drawn.told["index_of_first_image"]) == (3, 1)


@pytest.mark.parametrize(
    ("checkpoint", "drew"),
    [("xl/fox.safetensors [0011223344]", "fox"), ("missing.safetensors", "sandbox-v1")],
)
async def test_a_checkpoint_that_is_not_known_is_passed_over(checkpoint: str, drew: str, webui: ClientSession) -> None:
    settings = {"sd_model_checkpoint": checkpoint}
    drawn = await draw(webui, width=64, height=64, override_settings=settings)
    assert drawn.told["sd_model_name"] == drew


def grey_halves() -> Image.Image:
    """White on its left."""
    mask = Image.new("L", (64, 64), 0)
    mask.paste(255, (0, 0, 32, 64))
    return mask


def alpha_halves() -> Image.Image:
    """Opaque on its left."""
    mask = Image.new("RGBA", (64, 64), (0, 0, 0, 0))
    mask.paste((0, 0, 0, 255), (0, 0, 32, 64))
    return mask


@pytest.mark.parametrize(
    ("mask", "invert", "kept"),
    [
        (grey_halves(), 0, (60, 5)),
        (grey_halves(), 1, (3, 5)),
        (alpha_halves(), 0, (60, 5)),
        (alpha_halves(), 1, (3, 5)),
    ],
    ids=["white", "white inverted", "opaque", "opaque inverted"],
)
async def test_where_a_mask_is_white_or_opaque_it_repaints(
    mask: Image.Image, invert: int, kept: tuple[int, int], webui: ClientSession
) -> None:
    fields = {"width": 64, "height": 64, "mask": base64_of(mask), "inpainting_mask_invert": invert}
    red = base64_of(Image.new("RGB", (64, 64), (255, 0, 0)))
    picture = (await draw(webui, "img2img", prompt="a fox", init_images=[red], **fields)).open().convert("RGB")
    assert picture.getpixel(kept) == (255, 0, 0)
    assert picture.getpixel((63 - kept[0], kept[1])) != (255, 0, 0)


async def test_a_data_url_is_taken_too(webui: ClientSession, picture: MakePicture) -> None:
    url = f"data:image/png;base64,{base64.b64encode(picture(32, 32)).decode()}"
    drawn = await draw(webui, "img2img", init_images=[url], width=64, height=64)
    assert drawn.parameters["init_images"] is None
    assert drawn.parameters["denoising_strength"] == 0.75


# -- what it refuses --

PICTURE = base64_of(Image.new("RGB", (8, 8)))
REFUSALS: dict[str, tuple[str, Document, int, str]] = {
    "sampler": ("txt2img", {"sampler_name": "Brush"}, 400, "Sampler not found"),
    "no picture": ("img2img", {"prompt": "a fox"}, 404, "Init image not found"),
    "no base64": ("img2img", {"init_images": ["a fox!"]}, 500, "Invalid encoded image"),
    "no picture in it": ("img2img", {"init_images": ["Zm94"]}, 500, "Invalid encoded image"),
    "broken mask": ("img2img", {"init_images": [PICTURE], "mask": "Zm94"}, 500, "Invalid encoded image"),
    "two pictures": ("img2img", {"init_images": [PICTURE, PICTURE]}, 500, ""),
}


@pytest.mark.parametrize("case", REFUSALS)
async def test_what_it_refuses(case: str, webui: ClientSession) -> None:
    path, fields, status, detail = REFUSALS[case]
    told = await refusal(webui, path, fields, status)
    assert told["detail"] == detail
    assert set(told) == {"error", "detail", "body", "errors"}


@pytest.mark.parametrize(("field", "value"), [("width", "wide"), ("steps", 0), ("n_iter", None), ("init_images", "x")])
async def test_wrong_fields_are_told_in_pydantics_way(field: str, value: object, webui: ClientSession) -> None:
    told = await refusal(webui, "img2img", {field: value}, 422)
    detail = told["detail"]
    assert isinstance(detail, list)
    assert detail[0]["loc"] == ["body", field]


async def test_texts_stand_for_numbers_and_the_unknown_is_passed_over(webui: ClientSession) -> None:
    assert (await draw(webui, width="64", height="64", brush="wide")).open().size == (64, 64)


@pytest.mark.parametrize("header", ["", encode_basic_auth("user", "wrong"), "Basic !", "Bearer wrong"])
async def test_without_the_password_it_is_shut(header: str, address: str) -> None:
    url, headers = f"{address}/a1111/sdapi/v1/txt2img", {"Authorization": header}
    async with ClientSession() as http, http.post(url, json={}, headers=headers) as answer:
        assert (answer.status, (await answer.json())["detail"]) == (401, "Incorrect username or password")


@pytest.mark.parametrize("path", ["txt3img", "interrupt"])
async def test_other_paths_are_not_there(path: str, webui: ClientSession) -> None:
    assert await refusal(webui, path, {}, 404) == {"detail": "Not Found"}


# -- trouble on demand --


@pytest.mark.parametrize(
    ("prompt", "status", "detail", "errors"),
    [
        ("[fault:500]", 500, "", "The prompt asked for this."),
        ("[fault:429]", 429, "Too Many Requests", ""),
        ("[fault:failed]", 500, "", "CUDA out of memory."),
    ],
)
async def test_trouble(prompt: str, status: int, detail: str, errors: str, webui: ClientSession) -> None:
    told = await refusal(webui, "txt2img", {"prompt": prompt}, status)
    assert (told["detail"], told["errors"]) == (detail, errors)


async def test_it_refuses_no_prompt(webui: ClientSession) -> None:
    assert (await draw(webui, prompt="[refuse]", width=64, height=64)).images
    assert (await draw(webui, prompt="[fault:empty]")).images == []


async def test_what_there_is(webui: ClientSession) -> None:
    """What a client asks for before it draws, and draws with."""
    told: dict[str, object] = {}
    for path in ("options", "sd-models", "samplers"):
        async with webui.get(path) as answer:
            assert answer.status == 200
            told[path] = await answer.json()
    (model,) = msgspec.convert(told["sd-models"], list[dict[str, object]])
    assert told["options"] == {"sd_model_checkpoint": model["title"]}
    names = [sampler["name"] for sampler in msgspec.convert(told["samplers"], list[dict[str, object]])]
    drawn = await draw(webui, prompt="a fox", width=64, height=64, sampler_name=names[-1])
    assert (drawn.told["sampler_name"], drawn.told["sd_model_name"]) == (names[-1], model["model_name"])
