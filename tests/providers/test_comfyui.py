from __future__ import annotations

import asyncio
import io
from collections.abc import Awaitable, Callable, Iterator, Mapping
from pathlib import Path

import pytest
from aiohttp import web
from aiohttp.typedefs import Handler
from PIL import Image

from pictura.core.errors import BadRequest, Failed, Lost, Malformed, PicturaError, Rejected, Throttled
from pictura.core.media import sniff
from pictura.core.size import parse
from pictura.infra.spool import Spool
from pictura.providers.base import Ask, AskPicture, Channel, Done, Pending
from pictura.providers.comfyui import INPAINT, TEXT_TO_IMAGE, ComfyUI, fill

KEY = "sk-test-0123456789"
CARD = ComfyUI.MODELS[0]
NAMED = ComfyUI().generic("fox.safetensors")
TASK = Pending(upstream_id="42", state={"seed": "7"})

Serve = Callable[[Handler], Awaitable[Channel]]
Make = Callable[..., Ask]
OpenSandbox = Callable[[str], Channel]
Shown = Callable[[Image.Image], AskPicture]


@pytest.fixture
def shown(tmp_path: Path) -> Iterator[Shown]:
    """An input as the engine hands it to a provider."""
    made: list[Spool] = []

    def make(picture: Image.Image) -> AskPicture:
        encoded = io.BytesIO()
        picture.save(encoded, "png")
        made.append(Spool(tmp_path))
        made[-1].write(encoded.getvalue())
        return AskPicture(made[-1], "image/png", *picture.size)

    yield make
    for spool in made:
        spool.close()


@pytest.fixture
def comfy(sandbox: OpenSandbox) -> Channel:
    return sandbox(ComfyUI.sandbox_path)


async def finish(task: Done | Pending, channel: Channel) -> Done:
    while isinstance(task, Pending):
        await asyncio.sleep(0.01)
        task = await ComfyUI().check(task, channel)
    return task


async def draw(asked: Ask, channel: Channel) -> list[Image.Image]:
    done = await finish(await ComfyUI().start(asked, channel), channel)
    found = [Image.open(io.BytesIO(raw.spool.read())).convert("RGB") for raw in done.pictures if raw.spool]
    assert len(found) == len(done.pictures)
    return found


async def fault(work: Awaitable[object]) -> PicturaError:
    with pytest.raises(PicturaError) as caught:
        await work
    assert KEY not in str(caught.value)
    return caught.value


# -- against the sandbox --


async def test_a_picture_at_its_default(ask: Make, comfy: Channel) -> None:
    assert [picture.size for picture in await draw(ask(CARD), comfy)] == [(1024, 1024)]


async def test_pictures_of_a_size_and_a_seed(ask: Make, comfy: Channel, open_spools: Callable[[], list[Spool]]) -> None:
    params = {"seed": 7, "steps": 4, "guidance_scale": 1.5, "negative_prompt": "rain", "sampler_name": "dpmpp_2m"}
    started = await ComfyUI().start(ask(NAMED, n=2, size=parse("64x96"), params=params), comfy)
    assert started.state == {"seed": "7"}
    done = await finish(started, comfy)
    assert [raw.seed for raw in done.pictures] == [7, 7]
    media = [sniff(raw.spool.read, raw.spool.size) for raw in done.pictures if raw.spool]
    assert [(one.width, one.height, one.format) for one in media] == [(64, 96, "png"), (64, 96, "png")]
    assert len(open_spools()) == 2


async def test_without_a_seed_every_call_has_another(ask: Make, comfy: Channel) -> None:
    first, second = [await ComfyUI().start(ask(CARD), comfy) for _ in range(2)]
    assert first.state != second.state


@pytest.mark.parametrize(("asked", "drawn"), [("", (104, 64)), ("64x64", (64, 64))])
async def test_an_edit_has_the_size_asked_for_or_the_pictures_own(
    asked: str, drawn: tuple[int, int], ask: Make, comfy: Channel, shown: Shown
) -> None:
    said = ask(CARD, images=(shown(Image.new("RGB", (101, 64))),), size=parse(asked), n=2)
    assert [picture.size for picture in await draw(said, comfy)] == [drawn, drawn]


async def test_where_our_mask_is_transparent_it_repaints(ask: Make, comfy: Channel, shown: Shown) -> None:
    mask = Image.new("RGBA", (64, 64))
    mask.paste((0, 0, 0, 255), (0, 0, 32, 64))
    said = ask(CARD, images=(shown(Image.new("RGB", (64, 64), (255, 0, 0))),), mask=shown(mask))
    (picture,) = await draw(said, comfy)
    assert picture.getpixel((3, 3)) == (255, 0, 0)
    assert picture.getpixel((60, 3)) != (255, 0, 0)


async def test_a_task_is_found_again_after_a_restart(ask: Make, comfy: Channel) -> None:
    started = await ComfyUI().start(ask(CARD, size=parse("64x64"), prompt="[fault:long 0.3]"), comfy)
    assert (await finish(Pending(upstream_id=started.upstream_id), comfy)).pictures[0].seed is None


@pytest.mark.parametrize("prompt", ["[fault:long 20]"])
async def test_a_task_can_be_taken_back(prompt: str, ask: Make, comfy: Channel) -> None:
    started = await ComfyUI().start(ask(CARD, prompt=prompt), comfy)
    await ComfyUI().cancel(started, comfy)
    assert type(await fault(finish(started, comfy))) is Failed


async def test_what_was_not_begun_is_not_taken_back(comfy: Channel) -> None:
    await ComfyUI().cancel(TASK, comfy)
    found = await fault(ComfyUI().check(TASK, comfy))
    assert type(found) is Failed and found.safe_elsewhere


FAULTS: dict[str, tuple[type[PicturaError], dict[str, object]]] = {
    "401": (Rejected, {"config": True}),
    "402": (Rejected, {"config": True}),
    "429": (Throttled, {"retry_after_s": 2}),
    "500": (Failed, {"possibly_billed": False, "safe_elsewhere": True}),
    "502page": (Failed, {"possibly_billed": False}),
    "reset": (Failed, {"possibly_billed": False}),
    "garbage": (Malformed, {}),
    "failed": (Failed, {"upstream_code": "torch.OutOfMemoryError", "safe_elsewhere": True}),
    "empty": (Malformed, {"possibly_billed": False}),
    "expired": (Malformed, {"possibly_billed": False}),
}


@pytest.mark.parametrize("name", FAULTS)
async def test_faults(name: str, ask: Make, comfy: Channel, open_spools: Callable[[], list[Spool]]) -> None:
    async def whole() -> None:
        await finish(await ComfyUI().start(ask(CARD, prompt=f"[fault:{name}]", n=2), comfy), comfy)

    kind, facts = FAULTS[name]
    found = await fault(whole())
    assert type(found) is kind
    assert {fact: getattr(found, fact) for fact in facts} == facts
    assert not open_spools()


@pytest.mark.parametrize(
    ("params", "param"),
    [
        ({"sampler_name": "Euler"}, "sampler_name"),
        ({"steps": 99_999}, "steps"),
        ({"guidance_scale": 101}, "guidance_scale"),
    ],
)
async def test_inputs_of_the_callers_are_his_fault(
    params: Mapping[str, object], param: str, ask: Make, comfy: Channel
) -> None:
    found = await fault(ComfyUI().start(ask(CARD, params=params), comfy))
    assert (type(found), found.param) == (BadRequest, param)


async def test_a_checkpoint_that_is_not_there_is_the_operators(ask: Make, comfy: Channel) -> None:
    found = await fault(ComfyUI().start(ask(ComfyUI().generic("missing.safetensors")), comfy))
    assert type(found) is Rejected and found.config
    assert (found.upstream_code, "missing.safetensors" in found.message) == ("value_not_in_list", True)


# -- against a server that a test scripts --


def scripted(**answers: object) -> tuple[Handler, list[tuple[str, object]]]:
    """Answers by the first word of the path: a document, an exception's status, or a list of one for each call."""
    asked: list[tuple[str, object]] = []

    async def handler(request: web.Request) -> web.StreamResponse:
        word = request.path.split("/")[2]
        asked.append((word, await request.json() if request.content_type == "application/json" else None))
        answer = answers[word]
        if isinstance(answer, list):
            answer = answer.pop(0)
        if isinstance(answer, bytes):
            return web.Response(body=answer, content_type="image/png")
        return web.Response(status=answer) if isinstance(answer, int) else web.json_response(answer)

    return handler, asked


def ended(status: str = "success", event: str = "execution_success", count: int = 1) -> dict[str, object]:
    images = [{"filename": f"{number}.png", "subfolder": "", "type": "temp"} for number in range(count)]
    messages = [["execution_start", {}], [event, {"exception_message": "no room", "exception_type": "OOM"}]]
    told = {"status_str": status, "completed": True, "messages": messages}
    return {"42": {"outputs": {"1": {"images": images}, "2": {"text": ["a fox"]}}, "status": told}}


async def test_a_task_may_end_between_two_questions(serve: Serve) -> None:
    handler, asked = scripted(history=[{}, ended()], queue={"queue_running": [], "queue_pending": []}, view=b"fox")
    done = await ComfyUI().check(TASK, await serve(handler))
    assert isinstance(done, Done) and done.pictures[0].seed == 7
    assert [word for word, _ in asked] == ["history", "queue", "history", "view"]


@pytest.mark.parametrize("place", ["queue_running", "queue_pending"])
async def test_a_task_in_the_queue_is_waited_for(place: str, serve: Serve) -> None:
    queue = {"queue_running": [], "queue_pending": [], place: [[0, "41", {}], [1, "42", {}]]}
    handler, _ = scripted(history={}, queue=queue)
    assert await ComfyUI().check(TASK, await serve(handler)) == TASK


@pytest.mark.parametrize(
    ("place", "sent"),
    [("queue_running", ("interrupt", {"prompt_id": "42"})), ("queue_pending", ("queue", {"delete": ["42"]}))],
)
async def test_only_ones_own_task_is_stopped(place: str, sent: tuple[str, object], serve: Serve) -> None:
    queues: list[object] = [{place: [[0, "42"]]}, {}]
    handler, asked = scripted(queue=queues, interrupt={})
    await ComfyUI().cancel(TASK, await serve(handler))
    assert asked == [("queue", None), sent]
    handler, asked = scripted(queue={place: [[0, "41"]]})
    await ComfyUI().cancel(TASK, await serve(handler))
    assert asked == [("queue", None)]


@pytest.mark.parametrize(
    ("history", "kind", "facts"),
    [
        (500, Lost, {"upstream_status": 500}),
        (401, Rejected, {"config": True}),
        (429, Throttled, {}),
        (ended("error", "execution_error"), Failed, {"safe_elsewhere": True, "upstream_code": "OOM"}),
        (ended("error", "execution_interrupted"), Failed, {"safe_elsewhere": False}),
        (ended("error", "odd"), Failed, {"safe_elsewhere": True}),
        (ended(count=0), Malformed, {"safe_elsewhere": True}),
    ],
)
async def test_how_a_task_may_end(
    history: object, kind: type[PicturaError], facts: dict[str, object], serve: Serve
) -> None:
    handler, _ = scripted(history=history)
    found = await fault(ComfyUI().check(TASK, await serve(handler)))
    assert type(found) is kind
    assert {fact: getattr(found, fact) for fact in facts} == facts


@pytest.mark.parametrize(("second", "kind"), [(404, Malformed), (503, Lost), ({}, Malformed)])
async def test_no_picture_stays_open_when_the_next_cannot_be_had(
    second: object,
    kind: type[PicturaError],
    serve: Serve,
    spools: list[Spool],
    open_spools: Callable[[], list[Spool]],
) -> None:
    handler, _ = scripted(history=ended(count=2), view=[b"fox", second])
    assert type(await fault(ComfyUI().check(TASK, await serve(handler)))) is kind
    assert spools and not open_spools()


@pytest.mark.parametrize(
    ("answers", "kind"),
    [
        ({"models": [[]]}, Rejected),
        ({"models": 404}, Rejected),
        ({"models": [["a.safetensors"]], "prompt": {}}, Malformed),
        ({"models": [["a.safetensors"]], "prompt": 413}, BadRequest),
    ],
)
async def test_what_may_go_wrong_at_the_start(
    answers: dict[str, object], kind: type[PicturaError], serve: Serve, ask: Make
) -> None:
    handler, _ = scripted(**answers)
    assert type(await fault(ComfyUI().start(ask(CARD), await serve(handler)))) is kind


async def test_a_workflow_that_the_server_cannot_run_is_the_operators(serve: Serve, ask: Make) -> None:
    error = {"type": "missing_node_type", "message": "Node 'KSampler' not found.", "details": "Node ID '#1'"}

    async def handler(request: web.Request) -> web.StreamResponse:
        await request.read()
        return web.json_response({"error": error, "node_errors": {}}, status=400)

    found = await fault(ComfyUI().start(ask(NAMED), await serve(handler)))
    assert type(found) is Rejected and found.config
    assert found.message == "Node 'KSampler' not found.: Node ID '#1'"


# -- workflows --


def test_a_workflow_is_filled_by_the_names_of_its_inputs() -> None:
    graph = fill(TEXT_TO_IMAGE, {"prompt": "{{seed}}", "seed": 7, "width": 64})
    positive, sampler, latent = graph["positive"], graph["sampler"], graph["latent"]
    assert positive == {"class_type": "CLIPTextEncode", "inputs": {"clip": ["checkpoint", 1], "text": "{{seed}}"}}
    assert isinstance(sampler, dict) and sampler["inputs"]["seed"] == 7
    assert isinstance(latent, dict) and latent["inputs"]["width"] == 64
    assert TEXT_TO_IMAGE["latent"]["inputs"] == {"width": "{{width}}", "height": "{{height}}", "batch_size": "{{n}}"}


async def test_every_input_of_a_workflow_has_a_value(serve: Serve, ask: Make, shown: Shown) -> None:
    upload = {"name": "a.png", "subfolder": "pictura", "type": "temp"}
    handler, asked = scripted(upload=upload, prompt={"prompt_id": "42"})
    image = shown(Image.new("RGBA", (64, 64)))
    await ComfyUI().start(ask(NAMED, images=(image,), mask=image), await serve(handler))
    sent = next(body for word, body in asked if word == "prompt")
    assert isinstance(sent, dict) and sent["prompt"].keys() == INPAINT.keys()
    assert "{{" not in str(sent)
    assert sent["prompt"]["image"]["inputs"] == {"image": "pictura/a.png [temp]"}
    assert sent["prompt"]["sampler"]["inputs"]["denoise"] == 1.0
