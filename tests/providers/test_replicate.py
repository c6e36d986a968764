from __future__ import annotations

import base64
import io
from collections.abc import Mapping
from functools import partial

import pytest
from aiohttp import ClientSession, web
from aiohttp.typedefs import Handler
from msgspec.structs import replace
from PIL import Image

from pictura.core.errors import (
    BadRequest,
    Failed,
    Lost,
    Malformed,
    PicturaError,
    Refused,
    Rejected,
    Throttled,
    Unsupported,
)
from pictura.core.media import flaw, sniff
from pictura.core.model import ModelCard
from pictura.core.picture import InMemory
from pictura.core.size import AUTO, Size, fit, parse
from pictura.providers.base import Ask, AskPicture, Pending
from pictura.providers.replicate import INLINE_BYTES, Replicate
from tests.providers.conftest import (
    KEY,
    TROUBLES,
    Connect,
    Make,
    MakePicture,
    OpenSpools,
    Serve,
    drawn_by,
    fault_of,
    pixels,
    says,
)

CARDS = {card.id.removeprefix("replicate-"): card for card in Replicate.MODELS}
SCHNELL, DEV, PRO, KONTEXT, FLEX = (
    CARDS[name] for name in ("flux-schnell", "flux-dev", "flux-1.1-pro", "flux-kontext-max", "flux-2-flex")
)
ESRGAN, VECTORIZE = CARDS["real-esrgan"], CARDS["recraft-vectorize"]
FILL, SEEDREAM, BANANA = CARDS["flux-fill-pro"], CARDS["seedream-4.5"], CARDS["nano-banana-pro"]
GENERIC = Replicate().generic("acme/painter")
PIXEL = "data:image/png;base64,iVBORw0KGgo="

drawn, fault = partial(drawn_by, Replicate()), partial(fault_of, Replicate())


def notes(asked: list[tuple[str, object]]) -> Handler:
    """Notes paths and bodies, keeps files, and begins a prediction."""

    async def handler(request: web.Request) -> web.StreamResponse:
        if request.content_type == "multipart/form-data":
            part = await (await request.multipart()).next()
            assert part is not None
            asked.append((request.path, (part.name, len(await part.read()))))  # type: ignore[union-attr]
            return web.json_response({"id": "f1", "urls": {"get": "https://api.replicate.com/v1/files/f1"}}, status=201)
        asked.append((request.path, await request.json()))
        return web.json_response({"id": "p1", "status": "starting"}, status=201)

    return handler


# -- what is sent --


async def body_of(asked: Ask, serve: Serve) -> Mapping[str, object]:
    noted: list[tuple[str, object]] = []
    await Replicate().start(asked, await serve(notes(noted)))
    body = noted[-1][1]
    assert isinstance(body, dict)
    given: Mapping[str, object] = body["input"]
    return given


@pytest.mark.parametrize(
    ("native", "path", "more"),
    [
        ("acme/painter", "/v1/models/acme/painter/predictions", {}),
        ("acme/painter:5c7d", "/v1/predictions", {"version": "5c7d"}),
        ("5c7d", "/v1/predictions", {"version": "5c7d"}),
        ("deployments/acme/painter", "/v1/deployments/acme/painter/predictions", {}),
    ],
)
async def test_models_versions_and_deployments(
    serve: Serve, ask: Make, native: str, path: str, more: Mapping[str, str]
) -> None:
    noted: list[tuple[str, object]] = []
    pending = await Replicate().start(ask(GENERIC, native=native), await serve(notes(noted)))
    assert noted == [(path, {"input": {"prompt": "a fox"}, **more})]
    assert pending == Pending(upstream_id="p1", poll_after_s=1.0)


@pytest.mark.parametrize(
    ("card", "size", "told"),
    [
        (SCHNELL, Size(aspect="16:9", tier="0.5K"), {"aspect_ratio": "16:9", "megapixels": "0.25"}),
        (PRO, parse("1216x832"), {"aspect_ratio": "custom", "width": 1216, "height": 832}),
        (KONTEXT, Size(aspect="2:1"), {"aspect_ratio": "2:1"}),
        (SEEDREAM, Size(aspect="3:4", tier="4K"), {"aspect_ratio": "3:4", "size": "4K"}),
        (BANANA, Size(tier="1K"), {"resolution": "1K"}),
        (GENERIC, parse("1344x768"), {"aspect_ratio": "16:9", "width": 1344, "height": 768}),
    ],
)
async def test_sizes(serve: Serve, ask: Make, card: ModelCard, size: Size, told: Mapping[str, object]) -> None:
    assert await body_of(ask(card, size=size), serve) == {"prompt": "a fox", **told}


async def test_options_count_and_format(serve: Serve, ask: Make) -> None:
    params = {"steps": 20, "guidance_scale": 2.5, "strength": 0.4, "seed": 7, "style": "vivid", "go_fast": False}
    said = ask(DEV, params=params, n=3, output_format="jpeg", output_compression=70)
    assert await body_of(said, serve) == {
        "prompt": "a fox",
        "num_outputs": 3,
        "output_format": "jpg",
        "output_quality": 70,
        "num_inference_steps": 20,
        "guidance": 2.5,
        "prompt_strength": 0.4,
        "seed": 7,
        "go_fast": False,
    }


@pytest.mark.parametrize(
    ("card", "field", "count"),
    [(PRO, "image_prompt", 1), (KONTEXT, "input_image", 1), (FLEX, "input_images", 2), (SEEDREAM, "image_input", 2)],
)
async def test_pictures(serve: Serve, ask: Make, picture: MakePicture, card: ModelCard, field: str, count: int) -> None:
    sent = (await body_of(ask(card, images=tuple(picture() for _ in range(count))), serve))[field]
    urls = sent if isinstance(sent, list) else [sent]
    assert len(urls) == count and all(str(url).startswith("data:image/png;base64,iVBOR") for url in urls)


async def test_an_edit_matches_its_picture_unless_a_size_is_chosen(
    serve: Serve, ask: Make, picture: MakePicture
) -> None:
    matched = await body_of(ask(FLEX, images=(picture(),)), serve)
    assert matched["aspect_ratio"] == matched["resolution"] == "match_input_image"
    chosen = await body_of(ask(FLEX, images=(picture(),), size=parse("512x256")), serve)
    assert chosen["aspect_ratio"] == "custom" and "resolution" not in chosen


async def test_a_mask_is_white_where_ours_is_transparent(serve: Serve, ask: Make, picture: MakePicture) -> None:
    sent = await body_of(ask(FILL, images=(picture(4, 2),), mask=picture(4, 2)), serve)
    painted = Image.open(io.BytesIO(base64.b64decode(str(sent["mask"]).partition(",")[2])))
    assert painted.mode == "L" and painted.tobytes() == bytes([255] * 8)


async def test_a_large_picture_goes_to_the_files_first(serve: Serve, ask: Make) -> None:
    large = AskPicture(InMemory(bytes(INLINE_BYTES + 1)), "image/png", 64, 64)
    noted: list[tuple[str, object]] = []
    await Replicate().start(ask(KONTEXT, images=(large,)), await serve(notes(noted)))
    assert noted[0] == ("/v1/files", ("content", large.source.size))
    kept = "https://api.replicate.com/v1/files/f1"
    assert noted[1][1] == {"input": {"prompt": "a fox", "input_image": kept}}


@pytest.mark.parametrize(("status", "kind"), [(500, Rejected), (503, Rejected), (402, Rejected), (429, Throttled)])
async def test_a_file_that_is_not_taken_costs_nothing(
    serve: Serve, ask: Make, status: int, kind: type[PicturaError]
) -> None:
    large = AskPicture(InMemory(bytes(INLINE_BYTES + 1)), "image/png", 64, 64)
    body = {} if status == 503 else {"detail": "no"}
    error = await fault(ask(KONTEXT, images=(large,)), await serve(says(body, status)))
    assert type(error) is kind and error.safe_elsewhere


# -- what comes back --


@pytest.mark.parametrize(
    ("output", "urls"),
    [
        ("https://replicate.delivery/a.png", 1),
        (["https://replicate.delivery/a.png", "https://replicate.delivery/b.png"], 2),
        ({"image": "https://replicate.delivery/a.png", "seed": 7, "more": ["https://replicate.delivery/b.png"]}, 2),
        ([PIXEL], 1),
    ],
)
async def test_outputs(serve: Serve, ask: Make, open_spools: OpenSpools, output: object, urls: int) -> None:
    answer = {"id": "p1", "status": "succeeded", "output": output, "input": {"image": PIXEL, "seed": 7}}
    done = await drawn(ask(SCHNELL), await serve(says(answer, 201)))
    assert len(done.pictures) == urls
    assert done.pictures[0].seed == 7
    # The input comes back too, and is nobody's picture.
    assert len(open_spools()) == sum(raw.spool is not None for raw in done.pictures)


@pytest.mark.parametrize(
    ("prediction", "kind", "code"),
    [
        ({"status": "failed", "error": "It was flagged as sensitive. (E005)"}, Refused, "E005"),
        ({"status": "failed", "error": "E005: flagged"}, Refused, "E005"),
        ({"status": "failed", "error": "NSFW content detected"}, Failed, "failed"),
        ({"status": "failed", "error": "out of memory (E1001)"}, Failed, "E1001"),
        ({"status": "failed", "error": None}, Failed, "failed"),
        ({"status": "canceled", "error": None}, Failed, "canceled"),
        ({"status": "aborted", "error": None}, Failed, "aborted"),
        ({"status": "succeeded", "output": None}, Malformed, ""),
        ({"status": "succeeded", "output": ["a poem"]}, Malformed, ""),
    ],
    ids=str,
)
async def test_predictions_that_end_badly(
    serve: Serve,
    ask: Make,
    open_spools: OpenSpools,
    prediction: Mapping[str, object],
    kind: type[PicturaError],
    code: str,
) -> None:
    answer = {"id": "p1", "input": {"image": PIXEL}, **prediction}
    channel = await serve(says(answer))
    error = await fault(ask(SCHNELL), channel)
    assert type(error) is kind
    assert getattr(error, "reason", getattr(error, "upstream_code", "")) == code
    assert error.safe_elsewhere == (prediction["status"] == "aborted")
    assert not open_spools()


@pytest.mark.parametrize(
    ("status", "body", "kind", "config"),
    [
        (400, {"detail": "bad"}, BadRequest, None),
        (401, {"title": "Unauthenticated", "detail": f"no {KEY}"}, Rejected, True),
        (402, {"title": "Insufficient credit"}, Rejected, True),
        (404, {"detail": "not found"}, Rejected, True),
        (429, {"detail": "throttled"}, Throttled, False),
        (500, {"detail": "oops"}, Failed, False),
        (502, {}, Lost, False),
        (200, {"hello": 1}, Malformed, False),
    ],
)
async def test_errors(
    serve: Serve, ask: Make, status: int, body: object, kind: type[PicturaError], config: bool | None
) -> None:
    error = await fault(ask(SCHNELL), await serve(says(body, status, {"Retry-After": "7"})))
    assert type(error) is kind
    assert getattr(error, "config", None) is config
    if kind is Throttled:
        assert getattr(error, "retry_after_s", None) == 7


# -- against the sandbox --


@pytest.mark.parametrize("card", Replicate.MODELS, ids=CARDS)
async def test_every_card_draws(sandbox: Connect, ask: Make, picture: MakePicture, card: ModelCard) -> None:
    images = (picture(300, 260),) if card.inputs.required else ()
    prompt = "a fox" if card.prompt.need != "none" else ""
    said = ask(card, images=images, size=fit(AUTO, card.sizes), prompt=prompt)
    done = await drawn(said, sandbox("/replicate/v1"))
    (found,) = await pixels(done)
    assert found[0] == card.outputs[0]


@pytest.mark.parametrize(
    ("card", "size", "expected"),
    [
        (SCHNELL, "9:16", (768, 1376)),
        (PRO, "1344x768", (1344, 768)),
        (FLEX, "512x512", (512, 512)),
        (KONTEXT, "1:2", (736, 1440)),
        (BANANA, "1K", (1024, 1024)),
    ],
)
async def test_sizes_as_drawn(
    sandbox: Connect, ask: Make, card: ModelCard, size: str, expected: tuple[int, int]
) -> None:
    done = await drawn(ask(card, size=fit(parse(size), card.sizes)), sandbox("/replicate/v1"))
    assert [found[1:] for found in await pixels(done)] == [expected]


@pytest.mark.parametrize("card", [DEV, PRO, KONTEXT, FLEX, FILL, SEEDREAM, BANANA], ids=lambda card: str(card.id))
async def test_edits_with_all_options(
    sandbox: Connect, ask: Make, picture: MakePicture, open_spools: OpenSpools, card: ModelCard
) -> None:
    told = {name: getattr(option, "default", None) for name, option in card.params.items()}
    params = {name: default for name, default in told.items() if default is not None}
    images = tuple(picture(64, 64) for _ in range(min(3, card.inputs.count)))
    mask = picture(64, 64) if card.mask else None
    size = Size(aspect="1:1", tier="2K") if card is SEEDREAM else fit(AUTO, card.sizes)
    said = ask(card, images=images, mask=mask, params=params, output_format=card.outputs[-1], size=size)
    (found,) = await pixels(await drawn(said, sandbox("/replicate/v1")))
    assert found[0] == card.outputs[-1]
    assert not open_spools()


@pytest.mark.parametrize(("params", "expected"), [({"upscale_factor": 2.5}, (160, 120)), ({}, (256, 192))])
async def test_an_upscaler_enlarges(
    sandbox: Connect, ask: Make, picture: MakePicture, params: Mapping[str, object], expected: tuple[int, int]
) -> None:
    said = ask(ESRGAN, images=(picture(64, 48),), params={**params, "face_enhance": True}, prompt="")
    assert await pixels(await drawn(said, sandbox("/replicate/v1"))) == [("png", *expected)]


@pytest.mark.parametrize(
    ("card", "size", "message"),
    [(ESRGAN, (1536, 1536), "Resize input image"), (VECTORIZE, (255, 300), "from 256 to 4096 pixels")],
    ids=lambda value: str(getattr(value, "id", "")),
)
async def test_pictures_that_a_model_cannot_work_over(
    sandbox: Connect, ask: Make, picture: MakePicture, card: ModelCard, size: tuple[int, int], message: str
) -> None:
    error = await fault(ask(card, images=(picture(*size),), prompt=""), sandbox("/replicate/v1"))
    assert isinstance(error, Failed) and message in error.message


async def test_what_the_house_could_not_deliver_is_not_asked_for(
    sandbox: Connect, ask: Make, picture: MakePicture
) -> None:
    image = replace(picture(), width=1448, height=1448)
    error = await fault(ask(ESRGAN, images=(image,), params={"upscale_factor": 10}), sandbox("/replicate/v1"))
    assert isinstance(error, Unsupported)
    assert (error.param, error.allowed) == ("upscale_factor", ("at most 6.9",))


@pytest.mark.parametrize("card", [VECTORIZE, ESRGAN], ids=lambda card: str(card.id))
async def test_only_models_kept_ready_go_by_their_name(
    serve: Serve, ask: Make, picture: MakePicture, card: ModelCard
) -> None:
    noted: list[tuple[str, object]] = []
    await Replicate().start(ask(card, images=(picture(),), prompt=""), await serve(notes(noted)))
    ((path, body),) = noted
    assert isinstance(body, dict) and list(body["input"]) == ["image"]
    if card is VECTORIZE:
        assert (path, "version" in body) == ("/v1/models/recraft-ai/recraft-vectorize/predictions", False)
    else:
        assert (path, body["version"]) == ("/v1/predictions", ESRGAN.native.partition(":")[2])


async def test_several_with_a_seed_are_the_same_again(sandbox: Connect, ask: Make) -> None:
    said = ask(SCHNELL, n=3, params={"seed": 11}, size=Size(aspect="1:1", tier="0.5K"))
    first = await drawn(said, sandbox("/replicate/v1"))
    assert len(first.pictures) == 3 and first.pictures[0].seed == 11
    async with ClientSession() as http:
        data = [await (await http.get(raw.url)).read() for raw in first.pictures]
        again = await drawn(said, sandbox("/replicate/v1"))
        assert data == [await (await http.get(raw.url)).read() for raw in again.pictures]
    assert len(set(data)) == 3


@pytest.mark.parametrize(("mark", "kind"), [*TROUBLES, ("[refuse late]", Refused), ("[fault:failed]", Failed)])
async def test_faults(
    sandbox: Connect, ask: Make, open_spools: OpenSpools, mark: str, kind: type[PicturaError]
) -> None:
    error = await fault(ask(SCHNELL, prompt=f"a fox {mark}"), sandbox("/replicate/v1"))
    assert type(error) is kind
    assert not open_spools()


async def test_pictures_that_are_gone_or_broken_are_handed_over_as_they_came(sandbox: Connect, ask: Make) -> None:
    channel = sandbox("/replicate/v1")
    gone, broken = [
        (await drawn(ask(SCHNELL, prompt=f"a fox [fault:{fault}]"), channel)).pictures[0].url
        for fault in ("expired", "truncated")
    ]
    async with ClientSession() as http:
        assert (await http.get(gone)).status == 404
        data = await (await http.get(broken)).read()
    read = lambda offset, size: data[offset:][:size]  # noqa: E731
    assert flaw(read, len(data), sniff(read, len(data)))


async def test_what_the_sandbox_refuses_names_the_field(sandbox: Connect, ask: Make) -> None:
    error = await fault(ask(PRO, params={"safety_tolerance": 9}), sandbox("/replicate/v1"))
    assert isinstance(error, BadRequest) and error.param == "safety_tolerance"


async def test_cancel(sandbox: Connect, ask: Make) -> None:
    channel = sandbox("/replicate/v1")
    task = await Replicate().start(ask(SCHNELL, prompt="a fox [fault:long 60]"), channel)
    assert isinstance(task, Pending)
    await Replicate().cancel(task, channel)
    with pytest.raises(Failed) as caught:
        await Replicate().check(task, channel)
    assert caught.value.upstream_code == "canceled"
    with pytest.raises(Rejected):
        await Replicate().cancel(Pending(upstream_id="un/known"), channel)
