"""Models that work over a picture without a word (upscale, background removal, vectorise), from a client's request to
the file it gets: with a test key through the sandbox, with a prepaid key against a provider that the sandbox plays.
"""

from __future__ import annotations

import base64
import io
import re
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from xml.etree import ElementTree

import pytest
import pytest_asyncio
from openai import AsyncOpenAI, BadRequestError, DefaultAsyncHttpxClient
from PIL import Image, ImageChops, ImageStat

from pictura.core.media import Media
from pictura.core.money import usd
from pictura.sandbox.server import Sandbox
from tests.doors.door import (
    EDITS,
    GENERATIONS,
    LIVE,
    TEST,
    Answer,
    Door,
    channel,
    data_url,
    look,
    open_door,
    png_file,
)
from tests.upstream import Upstream, running

pytestmark = pytest.mark.asyncio(loop_scope="module")

UPSCALERS = ("fal-esrgan", "replicate-real-esrgan", "runware-swinir")
REMOVERS = (
    *("fal-bria-remove-background", "replicate-recraft-remove-background", "runware-birefnet"),
    "stable-image-remove-background",
)
VECTORISERS = ("fal-recraft-vectorize", "replicate-recraft-vectorize", "runware-recraft-vectorize")
#: Dialects that take an edit as a form, and what each answers with where nothing is said.
FORMS = ("/openai", "/imagerouter", "/omnirouters", "/quickrouter", "/mixroute", "/openopen8")
#: What opens the provider that the sandbox plays.
SECRET = "sk-test-of-a-provider"


def two_tone() -> bytes:
    """Yellow over blue, 400 by 300."""
    whole = Image.new("RGB", (400, 300), "gold")
    whole.paste("navy", (0, 150, 400, 300))
    encoded = io.BytesIO()
    whole.save(encoded, "png")
    return encoded.getvalue()


PICTURE = two_tone()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def door(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Door]:
    """A house whose live channel `fal` leads to a sandbox outside it."""
    outside = Sandbox(accepts=lambda key: key == SECRET)
    address = await outside.start()
    try:
        async with running(Upstream()) as upstream:
            fal = channel(upstream, "fal", provider="fal", api_key=SECRET, base_url=f"{address}/fal", price=None)
            folder: Path = tmp_path_factory.mktemp("house")
            async with open_door(folder, upstream, channels=[fal]) as door:
                yield door
    finally:
        await outside.close()


async def work(door: Door, model: str, path: str = EDITS["openai"], key: str = TEST, **texts: str) -> Answer:
    """A form with one picture, as OpenAI's SDK sends it."""
    return await door.ask_form({"model": model, **texts}, [png_file("image", PICTURE)], path=path, key=key)


async def file(door: Door, answer: Answer) -> Answer:
    found = await door.send("GET", answer.url)
    assert found.status == 200
    return found


def opened(data: bytes) -> Image.Image:
    picture = Image.open(io.BytesIO(data))
    picture.load()
    return picture


def drawing(data: bytes) -> Media:
    """What an SVG is that a parser takes for one, with something in it."""
    root = ElementTree.fromstring(data)
    assert root.tag == "{http://www.w3.org/2000/svg}svg"
    assert len(root) > 3
    return look(data)


# -- upscalers --


@pytest.mark.parametrize("model", UPSCALERS)
async def test_twice_as_large(door: Door, model: str) -> None:
    answer = await work(door, model, upscale_factor="2", response_format="b64_json", output_format="png")
    assert look(answer.picture) == Media("image/png", 800, 600)
    expected = opened(PICTURE).resize((800, 600))
    apart = ImageStat.Stat(ImageChops.difference(opened(answer.picture).convert("RGB"), expected)).mean
    assert max(apart) < 3  # it is the picture itself, and no painting


async def test_in_json_a_factor_is_a_number(door: Door) -> None:
    fields = {"model": "fal-esrgan", "image": data_url(PICTURE), "upscale_factor": 1.5, "response_format": "b64_json"}
    answer = await door.ask(fields, path=GENERATIONS["openai"], key=TEST)
    assert (look(answer.picture).width, look(answer.picture).height) == (600, 450)


async def test_a_form_says_flags_in_words(door: Door) -> None:
    assert (await work(door, "replicate-real-esrgan", upscale_factor="1", face_enhance="true")).status == 200
    refused = await work(door, "replicate-real-esrgan", face_enhance="perhaps")
    assert (refused.status, refused.error.param) == (400, "face_enhance")


@pytest.mark.parametrize("factor", ["0.5", "9", "twice"])
async def test_a_factor_that_a_card_does_not_allow(door: Door, factor: str) -> None:
    answer = await work(door, "fal-esrgan", upscale_factor=factor)
    assert (answer.status, answer.error.param) == (400, "upscale_factor")
    assert "a number from 1 to 8" in answer.error.message


# -- background removal --


@pytest.mark.parametrize("path", EDITS.values(), ids=EDITS)
@pytest.mark.parametrize("model", REMOVERS)
async def test_a_ground_that_is_really_gone(door: Door, model: str, path: str) -> None:
    """In ImageRouter's usual format too, which is no vendor's."""
    found = (await file(door, await work(door, model, path, response_format="url"))).body
    assert look(found).type == ("image/webp" if "imagerouter" in path else "image/png")
    picture = opened(found)
    alpha = picture.getchannel("A")
    assert (picture.size, alpha.getpixel((0, 0)), alpha.getpixel((200, 150))) == ((400, 300), 0, 255)


# -- vectorisers --


@pytest.mark.parametrize("model", VECTORISERS)
async def test_vectors_by_url(door: Door, model: str) -> None:
    found = await file(door, await work(door, model, response_format="url"))
    assert drawing(found.body) == Media("image/svg+xml", 400, 300, alpha=True)
    assert found.headers["content-type"].partition(";")[0] == "image/svg+xml"
    assert found.headers["x-content-type-options"] == "nosniff"
    assert found.headers["content-security-policy"] == "default-src 'none'; style-src 'unsafe-inline'; sandbox"


@pytest.mark.parametrize("model", VECTORISERS)
async def test_vectors_in_the_answer(door: Door, model: str) -> None:
    answer = await work(door, model, response_format="b64_json", output_format="svg")
    assert drawing(answer.picture).type == "image/svg+xml"
    (delivered,) = door.job(answer).result.pictures  # type: ignore[union-attr]
    assert (delivered.media_type, delivered.width, delivered.key[-4:]) == ("image/svg+xml", 400, ".svg")


@pytest.mark.parametrize("prefix", FORMS)
@pytest.mark.parametrize("model", VECTORISERS)
async def test_a_dialects_usual_format_is_for_pixels(door: Door, prefix: str, model: str) -> None:
    """ImageRouter's is webp: it says nothing of vectors, and nothing was adjusted or ignored."""
    answer = await work(door, model, f"{prefix}/v1/images/edits", response_format="url")
    (url,) = re.findall(rb'"url":"([^"]+)"', answer.body)
    assert drawing((await door.send("GET", url.decode())).body).width == 400
    assert not {"x-pictura-adjusted", "x-pictura-ignored", "x-pictura-short"} & answer.headers.keys()
    assert door.job(answer).request.output_format == ""


async def test_vectors_in_gemini_s_words(door: Door) -> None:
    parts = [{"inlineData": {"mimeType": "image/png", "data": base64.b64encode(PICTURE).decode()}}]
    path = "/gemini/v1beta/models/fal-recraft-vectorize:generateContent"
    answer = await door.ask({"contents": [{"parts": parts}]}, path=path, key=TEST)
    assert answer.status == 200
    (found,) = re.findall(rb'"mimeType":"image/svg\+xml","data":"([^"]+)"', answer.body)
    assert drawing(base64.b64decode(found)).width == 400


@pytest.mark.parametrize("path", EDITS.values(), ids=EDITS)
@pytest.mark.parametrize("format", ["png", "webp", "jpeg"])
async def test_pixels_that_were_named_are_refused_before_anything_is_held(door: Door, path: str, format: str) -> None:
    before = len(door.jobs()), door.purse()
    answer = await work(door, "fal-recraft-vectorize", path, key=LIVE, output_format=format)
    assert answer.status == 400
    expected = f"output_format '{format}' is not had from fal-recraft-vectorize; allowed: svg"
    assert answer.error.message == expected
    assert (len(door.jobs()), door.purse()) == before


async def test_vectors_of_a_model_that_draws_pixels(door: Door) -> None:
    answer = await work(door, "fal-esrgan", output_format="svg")
    assert (answer.status, answer.error.param) == (400, "output_format")


# -- prompts --


@pytest.fixture
async def sdk(door: Door) -> AsyncIterator[AsyncOpenAI]:
    http = DefaultAsyncHttpxClient(trust_env=False)
    async with AsyncOpenAI(api_key=TEST, base_url=f"{door.url}/v1", max_retries=0, http_client=http) as sdk:
        yield sdk


@pytest.mark.parametrize("prompt", ["", " \n"])
@pytest.mark.parametrize("model", ["fal-recraft-vectorize", "replicate-recraft-remove-background", "runware-swinir"])
async def test_a_blank_prompt_is_none(sdk: AsyncOpenAI, model: str, prompt: str) -> None:
    """OpenAI's SDK insists on one."""
    answer = await sdk.images.edit(model=model, image=("a.png", PICTURE, "image/png"), prompt=prompt)
    assert answer.data and answer.data[0].b64_json


async def test_any_other_prompt_is_refused(sdk: AsyncOpenAI) -> None:
    with pytest.raises(BadRequestError) as caught:
        await sdk.images.edit(model="runware-birefnet", image=("a.png", PICTURE, "image/png"), prompt="a red hat")
    assert caught.value.param == "prompt"
    assert "runware-birefnet takes no prompt; leave it out, or send an empty one" in str(caught.value)


async def test_without_a_picture_there_is_nothing_to_work_over(door: Door) -> None:
    answer = await door.ask({"model": "fal-recraft-vectorize"}, path=GENERATIONS["openai"], key=TEST)
    assert (answer.status, answer.error.param) == (400, "image")


# -- prices --


@pytest.mark.parametrize(
    ("model", "price"), [("fal-recraft-vectorize", usd("0.01")), ("fal-bria-remove-background", usd("0.018"))]
)
async def test_a_prepaid_project_pays_by_the_picture(door: Door, model: str, price: int) -> None:
    before = door.purse()
    answer = await work(door, model, EDITS["imagerouter"], key=LIVE)
    assert answer.drawn.cost == price / 1_000_000
    assert (door.purse().balance, door.purse().held) == (before.balance - price, before.held)


async def test_what_nobody_knows_the_price_of_is_not_for_the_prepaid(door: Door) -> None:
    answer = await work(door, "fal-esrgan", key=LIVE)
    assert answer.status == 403
    assert "nobody knows what this model costs" in answer.error.message


@pytest.mark.parametrize("model", (*UPSCALERS, *REMOVERS, *VECTORISERS))
async def test_they_are_listed_like_any_other(door: Door, model: str) -> None:
    listed = (await door.send("GET", f"/imagerouter/v2/models/{model}", key=TEST)).fields
    assert isinstance(listed["inputs"], Mapping) and listed["inputs"]["image"] is True
    assert (await door.send("GET", f"/openai/v1/models/{model}", key=TEST)).fields["id"] == model
