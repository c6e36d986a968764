"""There is no official client for Python: this is plain HTTP, as the vendor's own examples write it."""

from __future__ import annotations

import asyncio
import base64
import io
from collections.abc import Callable, Mapping

import msgspec
import pytest
from aiohttp import ClientSession, FormData
from PIL import Image

from pictura.core.media import Media
from pictura.sandbox.server import Sandbox
from pictura.sandbox.stability import SERVICES
from tests.sandbox.conftest import KEY, look

MakePicture = Callable[..., bytes]


class Wrong(msgspec.Struct):
    id: str
    name: str
    errors: list[str]


class Started(msgspec.Struct):
    id: str
    status: str = ""


class Drawn(msgspec.Struct):
    image: str
    finish_reason: str
    seed: int


def form(fields: Mapping[str, object]) -> FormData:
    """Pictures as files, all else as text, and the dummy that the vendor's examples send."""
    data = FormData(default_to_multipart=True)
    data.add_field("none", "")
    for name, value in fields.items():
        if isinstance(value, bytes):
            data.add_field(name, io.BytesIO(value), filename=f"{name}.png", content_type="image/png")
        else:
            data.add_field(name, str(value))
    return data


def url(address: str, service: str) -> str:
    return f"{address}/stability/v2beta/stable-image/{service}"


async def draw(http: ClientSession, address: str, service: str, **fields: object) -> tuple[bytes, Mapping[str, str]]:
    async with http.post(url(address, service), data=form(fields), headers={"Accept": "image/*"}) as answer:
        data = await answer.read()
        assert answer.status == 200, data
        return data, answer.headers


async def refusal(http: ClientSession, address: str, service: str, fields: Mapping[str, object], status: int) -> Wrong:
    async with http.post(url(address, service), data=form(fields)) as answer:
        assert answer.status == status, await answer.read()
        return msgspec.json.decode(await answer.read(), type=Wrong)


async def finished(http: ClientSession, address: str, id: str) -> tuple[int, bytes, Mapping[str, str]]:
    """The result of a task; 202 on the way."""
    while True:
        async with http.get(f"{address}/stability/v2beta/results/{id}", headers={"Accept": "image/*"}) as answer:
            data = await answer.read()
            if answer.status != 202:
                return answer.status, data, answer.headers
            assert msgspec.json.decode(data, type=Started) == Started(id, "in-progress")
        await asyncio.sleep(0.02)


# -- what it draws --


@pytest.mark.parametrize(
    ("service", "fields", "expected"),
    [
        ("generate/ultra", {"aspect_ratio": "16:9"}, Media("image/png", 1344, 768)),
        ("generate/core", {"output_format": "webp", "style_preset": "anime"}, Media("image/webp", 1280, 1280)),
        ("generate/sd3", {"model": "sd3.5-flash", "cfg_scale": 1.5, "output_format": "jpeg"}, (1024, 1024)),
    ],
)
async def test_generate(
    service: str, fields: dict[str, object], expected: Media | tuple[int, int], http: ClientSession, address: str
) -> None:
    data, headers = await draw(http, address, service, prompt="a fox", **fields)
    media = look(data)
    assert expected in (media, (media.width, media.height))
    assert headers["Content-Type"] == media.type
    assert headers["finish-reason"] == "SUCCESS" and int(headers["seed"]) > 0


async def test_a_seed_gives_the_same_picture(http: ClientSession, address: str) -> None:
    first, headers = await draw(http, address, "generate/core", prompt="a fox", seed=7)
    again, _ = await draw(http, address, "generate/core", prompt="a fox", seed=7)
    other, _ = await draw(http, address, "generate/core", prompt="a fox", seed=0)
    assert headers["seed"] == "7"
    assert first == again != other


async def test_base64_for_who_wants_json(http: ClientSession, address: str) -> None:
    accept = {"Accept": "application/json"}
    async with http.post(
        url(address, "generate/core"), data=form({"prompt": "a fox", "seed": 3}), headers=accept
    ) as answer:
        drawn = msgspec.json.decode(await answer.read(), type=Drawn)
    assert (drawn.finish_reason, drawn.seed) == ("SUCCESS", 3)
    assert look(base64.b64decode(drawn.image, validate=True)) == Media("image/png", 1280, 1280)


@pytest.mark.parametrize(
    ("service", "fields", "size"),
    [
        ("generate/ultra", {"prompt": "a fox", "strength": 0.4, "aspect_ratio": "2:3"}, (832, 1280)),
        ("generate/sd3", {"prompt": "a fox", "mode": "image-to-image", "strength": 1}, (1152, 896)),
        ("edit/erase", {}, (2354, 1781)),
        ("edit/outpaint", {"left": 16, "down": 8, "creativity": 0.1}, (112, 80)),
        ("edit/search-and-replace", {"prompt": "a fox", "search_prompt": "dog", "grow_mask": 20}, (2354, 1781)),
        ("edit/search-and-recolor", {"prompt": "a fox", "select_prompt": "dog"}, (96, 72)),
        ("edit/remove-background", {}, (96, 72)),
        ("control/sketch", {"prompt": "a fox", "control_strength": 0.7}, (96, 72)),
        ("control/structure", {"prompt": "a fox"}, (96, 72)),
        ("control/style", {"prompt": "a fox", "fidelity": 0, "aspect_ratio": "21:9"}, (1536, 640)),
        ("upscale/fast", {}, (384, 288)),
        ("upscale/conservative", {"prompt": "a fox", "creativity": 0.5}, (2354, 1781)),
    ],
)
async def test_edit(
    service: str,
    fields: dict[str, object],
    size: tuple[int, int],
    http: ClientSession,
    address: str,
    picture: MakePicture,
) -> None:
    data, _ = await draw(http, address, service, image=picture(96, 72, mode="RGB"), **fields)
    media = look(data)
    assert (media.width, media.height) == size
    assert media.alpha == SERVICES[service].transparent


async def test_style_transfer_takes_two_pictures(http: ClientSession, address: str, picture: MakePicture) -> None:
    pictures = {"init_image": picture(96, 72), "style_image": picture(64, 64)}
    data, _ = await draw(http, address, "control/style-transfer", **pictures, change_strength=0.1)
    assert look(data) == Media("image/png", 1152, 896)


async def test_only_the_white_part_of_a_mask_is_painted(
    http: ClientSession, address: str, picture: MakePicture
) -> None:
    mask = Image.new("L", (64, 64), 0)
    mask.paste(255, (32, 0, 64, 64))
    encoded = io.BytesIO()
    mask.save(encoded, "png")
    data, _ = await draw(
        http, address, "edit/inpaint", prompt="a fox", image=picture(64, 64, mode="RGB"), mask=encoded.getvalue()
    )
    drawn = Image.open(io.BytesIO(data)).convert("RGB")
    assert drawn.size == (2048, 2048)
    left, right = drawn.crop((0, 0, 900, 1200)), drawn.crop((1148, 0, 2048, 1200))
    assert left.getextrema() == ((0, 0), (0, 0), (0, 0))
    assert right.getextrema() != left.getextrema()


@pytest.mark.parametrize(
    ("service", "fields"),
    [
        ("upscale/creative", {"prompt": "a fox", "creativity": 0.5, "style_preset": "origami"}),
        ("edit/replace-background-and-relight", {"background_prompt": "a wood", "light_source_direction": "left"}),
    ],
)
async def test_tasks(
    service: str, fields: dict[str, object], http: ClientSession, address: str, picture: MakePicture
) -> None:
    name = next(iter(SERVICES[service].pictures))
    async with http.post(url(address, service), data=form({name: picture(64, 64), **fields})) as answer:
        assert answer.status == 200
        task = msgspec.json.decode(await answer.read(), type=Started)
    status, data, headers = await finished(http, address, task.id)
    assert (status, headers["finish-reason"]) == (200, "SUCCESS")
    assert look(data).format == "png"


async def test_a_task_survives_a_new_sandbox(address: str, http: ClientSession, picture: MakePicture) -> None:
    fields = {"prompt": "a fox", "image": picture(64, 64)}
    async with http.post(url(address, "upscale/creative"), data=form(fields)) as answer:
        task = msgspec.json.decode(await answer.read(), type=Started)
    second = Sandbox(accepts=lambda key: key == KEY)
    try:
        status, data, _ = await finished(http, await second.start(), task.id)
    finally:
        await second.close()
    assert status == 200
    assert look(data) == Media("image/png", 2048, 2048)


# -- what it refuses --

PROMPT = {"prompt": "a fox"}


@pytest.mark.parametrize(
    ("service", "fields", "complaint"),
    [
        ("generate/core", {}, "prompt: is required"),
        ("generate/core", {"prompt": "x" * 10_001}, "prompt: has 10001 characters, at most 10000 are taken"),
        ("generate/core", {**PROMPT, "aspect_ratio": "4:3"}, "aspect_ratio: must be one of 21:9"),
        ("generate/core", {**PROMPT, "seed": 4_294_967_295}, "seed: must be from 0"),
        ("generate/core", {**PROMPT, "seed": "many"}, "seed: must be an integer"),
        ("generate/core", {**PROMPT, "output_format": "gif"}, "output_format: must be one of"),
        ("generate/core", {**PROMPT, "guidance_scale": 5}, "guidance_scale: is not a known field"),
        ("generate/ultra", {**PROMPT, "image": b""}, "strength: is required when image is provided"),
        ("generate/sd3", {**PROMPT, "image": b""}, "image: is only valid for image-to-image"),
        ("generate/sd3", {**PROMPT, "mode": "image-to-image"}, "image: is required"),
        ("generate/sd3", {**PROMPT, "model": "sd4"}, "model: must be one of"),
        (
            "generate/sd3",
            {**PROMPT, "mode": "image-to-image", "image": b"", "strength": 0.5, "aspect_ratio": "1:1"},
            "aspect_ratio: is only valid for text-to-image",
        ),
        ("edit/erase", {}, "image: is required"),
        ("edit/erase", {"image": b"", "prompt": "a fox"}, "prompt: is not a known field"),
        ("edit/outpaint", {"image": b"", "left": 0}, "left: at least one outpaint direction"),
        ("edit/search-and-replace", {**PROMPT, "image": b""}, "search_prompt: is required"),
        ("edit/remove-background", {"image": b"", "output_format": "jpeg"}, "output_format: must be one of png, webp"),
        ("control/style-transfer", {"init_image": b""}, "style_image: is required"),
        ("upscale/creative", {**PROMPT, "image": b"", "creativity": 0.6}, "creativity: must be from 0.1 to 0.5"),
    ],
)
async def test_refused(
    service: str,
    fields: dict[str, object],
    complaint: str,
    http: ClientSession,
    address: str,
    picture: MakePicture,
) -> None:
    drawn = {name: value if value != b"" else picture(64, 64) for name, value in fields.items()}
    wrong = await refusal(http, address, service, drawn, 400)
    assert wrong.name == "bad_request" and len(wrong.id) == 32
    assert wrong.errors[0].startswith(complaint)


@pytest.mark.parametrize(
    ("service", "size", "complaint"),
    [
        ("edit/remove-background", (63, 100), "image: every side must be at least 64"),
        ("control/sketch", (64, 200), "image: the aspect ratio"),
        ("upscale/fast", (1600, 100), "image: no side may have more than 1,536"),
        ("upscale/creative", (1025, 1024), "image: total pixel count must be between 4,096 and 1,048,576"),
    ],
)
async def test_pictures_of_the_wrong_size(
    service: str, size: tuple[int, int], complaint: str, http: ClientSession, address: str, picture: MakePicture
) -> None:
    prompt = {} if SERVICES[service].prompt_need == "none" else PROMPT
    wrong = await refusal(http, address, service, {**prompt, "image": picture(*size)}, 400)
    assert wrong.errors[0].startswith(complaint)


async def test_what_is_no_picture(http: ClientSession, address: str, picture: MakePicture) -> None:
    for data in (b"hello", picture(64, 64)[:-8], picture(64, 64, "gif", "L")):
        wrong = await refusal(http, address, "edit/erase", {"image": data}, 400)
        assert wrong.errors[0].startswith("image: ")
    wrong = await refusal(http, address, "edit/erase", {"image": bytes(11_000_000)}, 413)
    assert wrong.name == "payload_too_large"


async def test_other_roads_lead_nowhere(http: ClientSession, address: str) -> None:
    assert (await refusal(http, address, "generate/sdxl", PROMPT, 404)).name == "not_found"
    async with http.post(url(address, "generate/core"), json=PROMPT) as answer:
        assert answer.status == 400
        assert msgspec.json.decode(await answer.read(), type=Wrong).errors[0].startswith("content-type: ")
    async with http.get(f"{address}/stability/v1/user/balance") as answer:
        assert answer.status == 404
    accept = {"Accept": "text/html"}
    async with http.post(url(address, "generate/core"), data=form(PROMPT), headers=accept) as answer:
        assert answer.status == 400


@pytest.mark.parametrize("header", [{}, {"Authorization": "Bearer sk-other"}, {"Authorization": f"Key {KEY}"}])
async def test_a_wrong_key(header: dict[str, str], address: str) -> None:
    async with ClientSession(headers=header) as stranger:
        assert (await refusal(stranger, address, "generate/core", PROMPT, 401)).name == "unauthorized"


@pytest.mark.parametrize(
    ("prompt", "status", "name"),
    [
        ("[refuse]", 403, "content_moderation"),
        ("[fault:401]", 401, "unauthorized"),
        ("[fault:402]", 402, "payment_required"),
        ("[fault:429]", 429, "rate_limit_exceeded"),
        ("[fault:500]", 500, "internal_error"),
    ],
)
async def test_the_vendors_own_errors(prompt: str, status: int, name: str, http: ClientSession, address: str) -> None:
    assert (await refusal(http, address, "generate/core", {"prompt": prompt}, status)).name == name


async def test_what_is_refused_late_is_a_success_to_the_vendor(http: ClientSession, address: str) -> None:
    data, headers = await draw(http, address, "generate/core", prompt="[refuse late]")
    assert headers["finish-reason"] == "CONTENT_FILTERED"
    assert look(data).format == "png"


async def test_results_that_are_not_there(http: ClientSession, address: str, picture: MakePicture) -> None:
    status, data, _ = await finished(http, address, "0" * 64)
    assert (status, msgspec.json.decode(data, type=Wrong).name) == (404, "generation_not_found")
    fields = {"prompt": "[fault:failed]", "image": picture(64, 64)}
    async with http.post(url(address, "upscale/creative"), data=form(fields)) as answer:
        task = msgspec.json.decode(await answer.read(), type=Started)
    status, data, _ = await finished(http, address, task.id)
    assert (status, msgspec.json.decode(data, type=Wrong).name) == (500, "internal_error")
