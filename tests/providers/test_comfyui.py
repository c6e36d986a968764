from __future__ import annotations

import json
from collections.abc import Mapping
from functools import partial

import pytest
from aiohttp import web
from aiohttp.typedefs import Handler
from PIL import Image

from pictura.core.errors import BadRequest, Failed, Lost, Malformed, PicturaError, Rejected, Throttled, Unsupported
from pictura.core.media import sniff
from pictura.core.size import parse
from pictura.infra.spool import Spool
from pictura.providers.base import Ask, Channel, Done, Pending
from pictura.providers.comfyui import INPAINT, ComfyUI, fill, read_workflow
from tests.providers.conftest import (
    Connect,
    Make,
    OpenSpools,
    Serve,
    drawn_by,
    fault,
    followed,
    half_mask,
    opened,
    shown,
)

CARD = ComfyUI.MODELS[0]
NAMED = ComfyUI().generic("fox.safetensors")
TASK = Pending(upstream_id="42", state={"seed": "7"})


finish = partial(followed, ComfyUI())


@pytest.fixture
def comfy(sandbox: Connect) -> Channel:
    return sandbox(ComfyUI.sandbox_path)


async def draw(asked: Ask, channel: Channel) -> list[Image.Image]:
    return await opened(await drawn_by(ComfyUI(), asked, channel))


# -- against the sandbox --


async def test_a_picture_at_its_default(ask: Make, comfy: Channel) -> None:
    assert [picture.size for picture in await draw(ask(CARD), comfy)] == [(1024, 1024)]


async def test_pictures_of_a_size_and_a_seed(ask: Make, comfy: Channel, open_spools: OpenSpools) -> None:
    params = {"seed": 7, "steps": 4, "guidance_scale": 1.5, "negative_prompt": "rain", "sampler_name": "dpmpp_2m"}
    started = await ComfyUI().start(ask(NAMED, n=2, size=parse("64x96"), params=params), comfy)
    assert started.state["seed"] == "7"
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
    asked: str, drawn: tuple[int, int], ask: Make, comfy: Channel
) -> None:
    said = ask(CARD, images=(shown(Image.new("RGB", (101, 64))),), size=parse(asked), n=2)
    assert [picture.size for picture in await draw(said, comfy)] == [drawn, drawn]


async def test_where_our_mask_is_transparent_it_repaints(ask: Make, comfy: Channel) -> None:
    said = ask(CARD, images=(shown(Image.new("RGB", (64, 64), (255, 0, 0))),), mask=half_mask())
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
async def test_faults(name: str, ask: Make, comfy: Channel, open_spools: OpenSpools) -> None:
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
    open_spools: OpenSpools,
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


# -- progress --


HEARD = Pending(upstream_id="42", state={"seed": "7", "client": "job-1", "progress": "30"})


def told(type: str, data: Mapping[str, object], prompt: str = "42") -> dict[str, object]:
    return {"type": type, "data": {"prompt_id": prompt, **data}}


def steps(value: object, most: object = 20) -> dict[str, object]:
    return {"value": value, "max": most}


ENDED = told("executing", {"node": None})


def speaks(*messages: object, place: str = "queue_running") -> tuple[Handler, list[str]]:
    """A server that works at task 42, and says this to whoever listens, and then nothing."""
    answer, _ = scripted(history={}, queue={place: [[0, "42"]]})
    asked: list[str] = []

    async def handler(request: web.Request) -> web.StreamResponse:
        asked.append(request.path_qs.removeprefix("/v1"))
        if request.path != "/v1/ws":
            return await answer(request)
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        for message in messages:
            await socket.send_json(message)
        async for _ in socket:
            pass
        return socket

    return handler, asked


async def progress(serve: Serve, *messages: object) -> str:
    handler, asked = speaks(*messages)
    found = await ComfyUI().check(HEARD, await serve(handler))
    assert isinstance(found, Pending)
    assert asked == ["/history/42", "/queue", "/ws?clientId=job-1"]
    assert found.poll_after_s == HEARD.poll_after_s
    return found.state["progress"]


async def test_progress_rises_while_a_task_runs(ask: Make, comfy: Channel) -> None:
    said = ask(CARD, prompt="[fault:long 2]", size=parse("64x64"), client_id="job-1")
    outcome: Pending | Done = await ComfyUI().start(said, comfy)
    found: list[int] = []
    while isinstance(outcome, Pending):
        found += [int(outcome.state["progress"])] if "progress" in outcome.state else []
        outcome = await ComfyUI().check(outcome, comfy)
    assert found == sorted(found) and len(set(found)) > 5
    assert 0 <= found[0] < 50 <= found[-1] <= 100


@pytest.mark.parametrize(
    ("message", "found"),
    [
        (told("progress", steps(10)), "50"),
        (told("progress", steps(20)), "100"),
        (told("progress", steps(30)), "100"),
        (told("progress", steps(1)), "30"),
        (told("progress", steps(10.5)), "52"),
        (told("progress_state", {"nodes": {"1": steps(1, 1), "2": steps(8), "3": steps(12), "4": steps(0, 1)}}), "50"),
    ],
    ids=["half", "whole", "more", "less than before", "not whole", "of several nodes"],
)
async def test_how_far_a_task_is(message: object, found: str, serve: Serve) -> None:
    assert await progress(serve, {"type": "status", "data": {"status": {}}}, message) == found


@pytest.mark.parametrize(
    "message",
    [
        told("progress", steps(10), "41"),
        {"type": "progress", "data": steps(10)},
        told("progress", steps(1, 1)),
        told("progress", steps(10, 0)),
        told("progress", steps(-10)),
        told("progress", steps("10")),
        told("progress", steps(10, None)),
        told("progress_state", {"nodes": {"1": steps(0, 1)}}),
        told("progress_state", {"nodes": [steps(10)]}),
        told("executing", {"node": "sampler"}),
        told("executed", steps(10)),
        {"type": "progress"},
        [],
    ],
)
async def test_what_says_nothing_about_how_far_it_is(message: object, serve: Serve) -> None:
    """The message after it does; at the end of the task nobody goes on listening."""
    assert await progress(serve, message, told("executing", {"node": None}, "41"), told("progress", steps(8))) == "40"
    assert await progress(serve, message, ENDED, told("progress", steps(8))) == "30"


async def test_silence_says_nothing(serve: Serve) -> None:
    assert await progress(serve) == "30"


async def test_without_a_websocket_there_is_no_progress(serve: Serve) -> None:
    handler, asked = scripted(history={}, queue={"queue_running": [[0, "42"]]}, ws=404)
    assert await ComfyUI().check(HEARD, await serve(handler)) == HEARD
    assert [word for word, _ in asked] == ["history", "queue", "ws"]


async def test_nobody_listens_for_a_task_that_waits(serve: Serve) -> None:
    handler, asked = speaks(told("progress", steps(10)), place="queue_pending")
    assert await ComfyUI().check(HEARD, await serve(handler)) == HEARD
    assert asked == ["/history/42", "/queue"]


# -- workflows --


OWN: dict[str, dict[str, object]] = {
    "1": {"class_type": "UNETLoader", "inputs": {"unet_name": "flux.safetensors"}, "_meta": {"title": "Load"}},
    "2": {"class_type": "KSampler", "inputs": {"model": ["1", 0], "seed": "{{seed}}", "steps": "{{steps=28}}"}},
    "3": {"class_type": "CLIPTextEncode", "inputs": {"text": "an oil painting of {{prompt}}, {{ steps = 28 }}"}},
    "4": {"class_type": "Lora", "inputs": {"lora": {"on": True, "strength": ["{{strength=0.5}}"]}}},
    "5": {"class_type": "CLIPTextEncode", "inputs": {"text": "{{negative_prompt=}}"}},
}


def test_a_workflow_is_filled_by_the_names_of_its_inputs() -> None:
    graph = fill(read_workflow(OWN), {"prompt": "{{seed}}", "seed": 7, "strength": 1.0})
    assert {id: node.inputs for id, node in graph.items()} == {
        "1": {"unet_name": "flux.safetensors"},
        "2": {"model": ["1", 0], "seed": 7, "steps": 28},
        "3": {"text": "an oil painting of {{seed}}, 28"},
        "4": {"lora": {"on": True, "strength": [1.0]}},
        "5": {"text": ""},
    }
    assert graph == fill(read_workflow(json.dumps(OWN)), {"prompt": "{{seed}}", "seed": 7, "strength": 1.0})


async def test_every_input_of_a_workflow_has_a_value(serve: Serve, ask: Make) -> None:
    upload = {"name": "a.png", "subfolder": "pictura", "type": "temp"}
    handler, asked = scripted(upload=upload, prompt={"prompt_id": "42"})
    image = shown(Image.new("RGBA", (64, 64)))
    said = ask(NAMED, images=(image,), mask=image, client_id="job-1")
    started = await ComfyUI().start(said, await serve(handler))
    sent = next(body for word, body in asked if word == "prompt")
    assert isinstance(sent, dict) and sent["prompt"].keys() == INPAINT.keys()
    assert "{{" not in str(sent)
    assert sent["client_id"] == started.state["client"] == "job-1"
    assert sent["prompt"]["image"]["inputs"] == {"image": "pictura/a.png [temp]"}
    assert sent["prompt"]["sampler"]["inputs"]["denoise"] == 1.0


@pytest.mark.parametrize(
    ("workflow", "said"),
    [
        ("{", "Export (API)"),
        ([OWN], "Export (API)"),
        ({"nodes": [], "links": []}, "Export (API)"),
        ({"1": {"class_type": "KSampler"}}, "`inputs`"),
        ({**OWN, "6": {"class_type": "x", "inputs": {"text": "{{fox}}"}}}, "no input 'fox'; there are prompt,"),
        ({**OWN, "6": {"class_type": "x", "inputs": {"width": "{{width}}"}}}, "{{width=…}}"),
        ({"1": OWN["3"]}, "{{seed}}"),
    ],
)
def test_a_workflow_that_cannot_be_filled_is_refused_when_it_is_set(workflow: object, said: str) -> None:
    with pytest.raises(BadRequest) as caught:
        ComfyUI().check_options({"workflow": workflow})
    assert said in caught.value.message


def test_other_options_mean_nothing() -> None:
    ComfyUI().check_options({"workflow": OWN})
    with pytest.raises(BadRequest, match="no option 'flow'; it has workflow"):
        ComfyUI().check_options({"flow": OWN})


async def own(ask: Ask, serve: Serve, workflow: object) -> Mapping[str, Mapping[str, Mapping[str, object]]]:
    """What a channel with a workflow of its own sends."""
    handler, asked = scripted(
        prompt={"prompt_id": "42"}, upload={"name": "a.png", "subfolder": "pictura", "type": "temp"}
    )
    channel = await serve(handler)
    channel.options = {"workflow": workflow}
    await ComfyUI().start(ask, channel)
    word, body = asked[-1]
    assert word == "prompt" and isinstance(body, dict)
    sent: Mapping[str, Mapping[str, Mapping[str, object]]] = body["prompt"]
    return sent


async def test_a_channel_draws_by_its_own_workflow(serve: Serve, ask: Make) -> None:
    sent = await own(ask(CARD, params={"seed": 7, "steps": 4}), serve, OWN)
    assert sent["1"] == {"class_type": "UNETLoader", "inputs": {"unet_name": "flux.safetensors"}}
    assert sent["2"]["inputs"] == {"model": ["1", 0], "seed": 7, "steps": 4}
    assert sent["3"]["inputs"] == {"text": "an oil painting of a fox, 4"}


async def test_a_workflow_over_a_picture(serve: Serve, ask: Make) -> None:
    workflow = {"1": {"class_type": "LoadImage", "inputs": {"image": "{{image}}", "mask": "{{mask=none}}"}}}
    said = ask(CARD, prompt="", images=(shown(Image.new("RGB", (64, 64))),))
    assert (await own(said, serve, workflow))["1"]["inputs"] == {"image": "pictura/a.png [temp]", "mask": "none"}


@pytest.mark.parametrize(
    ("said", "param"),
    [
        ({"n": 2}, "n"),
        ({"size": parse("64x64")}, "size"),
        ({"params": {"guidance_scale": 3}}, "guidance_scale"),
        ({"images": (half_mask(),)}, "image"),
    ],
)
async def test_what_a_workflow_has_no_place_for_is_refused(
    said: dict[str, object], param: str, serve: Serve, ask: Make
) -> None:
    found = await fault(own(ask(CARD, **said), serve, OWN))
    assert isinstance(found, Unsupported) and found.param == param


async def test_a_picture_that_a_workflow_lacks_is_asked_for(serve: Serve, ask: Make) -> None:
    workflow = {**OWN, "6": {"class_type": "LoadImage", "inputs": {"image": "{{image}}"}}}
    found = await fault(own(ask(CARD), serve, workflow))
    assert type(found) is BadRequest and found.param == "image"


async def test_what_was_saved_goes_before_what_was_shown(serve: Serve, ask: Make) -> None:
    outputs = {
        "8": {"images": [{"filename": "step.png", "subfolder": "", "type": "temp"}]},
        "9": {"images": [{"filename": "whole.png", "subfolder": "", "type": "output"}]},
    }
    handler, asked = scripted(history={"42": {"outputs": outputs, "status": {"status_str": "success"}}}, view=b"fox")
    done = await ComfyUI().check(TASK, await serve(handler))
    assert isinstance(done, Done) and len(done.pictures) == 1
    assert [word for word, _ in asked].count("view") == 1
