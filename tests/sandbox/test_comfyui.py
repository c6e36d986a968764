from __future__ import annotations

import asyncio
import copy
import io
from collections.abc import Awaitable, Callable

import msgspec
import pytest
from aiohttp import ClientSession, ClientWebSocketResponse, FormData, WSCloseCode, WSMsgType
from PIL import Image

from pictura.sandbox.server import Sandbox
from tests.sandbox.conftest import KEY

Graph = dict[str, dict[str, object]]
Document = dict[str, object]
MakePicture = Callable[..., bytes]

#: ComfyUI's own first workflow, as its "Export (API)" writes it, with smaller pictures.
TEXT_TO_IMAGE: Graph = {
    "3": {
        "class_type": "KSampler",
        "inputs": {
            "seed": 7,
            "steps": 20,
            "cfg": 8,
            "sampler_name": "euler",
            "scheduler": "normal",
            "denoise": 1,
            "model": ["4", 0],
            "positive": ["6", 0],
            "negative": ["7", 0],
            "latent_image": ["5", 0],
        },
    },
    "4": {"class_type": "CheckpointLoaderSimple", "inputs": {"ckpt_name": "sandbox-sd15.safetensors"}},
    "5": {"class_type": "EmptyLatentImage", "inputs": {"width": 64, "height": 96, "batch_size": 2}},
    "6": {"class_type": "CLIPTextEncode", "inputs": {"text": "a fox", "clip": ["4", 1]}},
    "7": {"class_type": "CLIPTextEncode", "inputs": {"text": "rain", "clip": ["4", 1]}},
    "8": {"class_type": "VAEDecode", "inputs": {"samples": ["3", 0], "vae": ["4", 2]}},
    "9": {"class_type": "SaveImage", "inputs": {"filename_prefix": "ComfyUI", "images": ["8", 0]}},
}


def changed(node: str, field: str, value: object, graph: Graph = TEXT_TO_IMAGE) -> Graph:
    """The workflow with one input changed; None takes it away."""
    made = copy.deepcopy(graph)
    inputs = made[node]["inputs"]
    assert isinstance(inputs, dict)
    inputs[field] = value
    if value is None:
        del inputs[field]
    return made


def asking(prompt: str) -> Graph:
    return changed("6", "text", prompt)


class Server:
    """A client of the server, and what one does with it."""

    def __init__(self, http: ClientSession, url: str) -> None:
        self.http = http
        self.url = url

    async def post(self, path: str, body: object, status: int = 200) -> Document:
        async with self.http.post(self.url + path, json=body) as answer:
            assert answer.status == status, await answer.text()
            found: Document = await answer.json() if answer.content_type == "application/json" else {}
            return found

    async def get(self, path: str) -> Document:
        async with self.http.get(self.url + path) as answer:
            assert answer.status == 200
            found: Document = await answer.json()
            return found

    async def begin(self, graph: Graph, client: str = "") -> str:
        named = {"client_id": client} if client else {}
        return str((await self.post("/prompt", {"prompt": graph, **named}))["prompt_id"])

    async def ended(self, id: str) -> Document:
        while True:
            entry = (await self.get(f"/history/{id}")).get(id)
            if isinstance(entry, dict):
                return entry
            await asyncio.sleep(0.01)

    async def view(self, **query: str) -> bytes:
        async with self.http.get(f"{self.url}/view", params=query) as answer:
            assert (answer.status, answer.content_type) == (200, "image/png")
            return await answer.read()

    async def upload(self, data: bytes, **texts: str) -> Document:
        form = FormData(texts)
        form.add_field("image", data, filename="fox.png", content_type="image/png")
        async with self.http.post(f"{self.url}/upload/image", data=form) as answer:
            assert answer.status == 200, await answer.text()
            found: Document = await answer.json()
            return found


@pytest.fixture
def server(http: ClientSession, address: str) -> Server:
    return Server(http, f"{address}/comfyui")


def files(entry: Document) -> list[dict[str, str]]:
    outputs = entry["outputs"]
    assert isinstance(outputs, dict)
    return [image for node in outputs.values() for image in node["images"]]


def status(entry: Document) -> dict[str, object]:
    found = entry["status"]
    assert isinstance(found, dict)
    return found


# -- a workflow from beginning to end --


async def test_text_to_image(server: Server) -> None:
    id = await server.begin(TEXT_TO_IMAGE)
    entry = await server.ended(id)
    assert (status(entry)["status_str"], status(entry)["completed"]) == ("success", True)
    found = files(entry)
    assert [file["type"] for file in found] == ["output", "output"]
    first, second = [Image.open(io.BytesIO(await server.view(**file))) for file in found]
    assert first.size == second.size == (64, 96)
    assert first.tobytes() != second.tobytes()


async def test_a_task_waits_then_runs_then_is_history(server: Server) -> None:
    id = await server.begin(asking("[fault:long 0.5]"))
    phases = [await place(server, id)]
    while not await server.get(f"/history/{id}"):
        found = await place(server, id)
        phases += [found] if found != phases[-1] else []
        await asyncio.sleep(0.01)
    assert [phase for phase in phases if phase] in (["queue_pending", "queue_running"], ["queue_running"])
    assert await place(server, id) == ""


async def place(server: Server, id: str) -> str:
    queue = await server.get("/queue")
    found = [name for name, entries in queue.items() if isinstance(entries, list) and id in [e[1] for e in entries]]
    return found[0] if found else ""


async def test_everything_is_below_api_too(server: Server) -> None:
    server.url += "/api"
    assert files(await server.ended(await server.begin(TEXT_TO_IMAGE)))


async def test_what_is_only_shown_lies_in_temp(server: Server) -> None:
    graph: Graph = {**TEXT_TO_IMAGE, "9": {"class_type": "PreviewImage", "inputs": {"images": ["8", 0]}}}
    found = files(await server.ended(await server.begin(graph)))
    assert found[0]["type"] == "temp"
    async with server.http.get(f"{server.url}/view", params={**found[0], "type": "output"}) as answer:
        assert answer.status == 404


def editing(image: str, mask: Graph | None = None) -> Graph:
    latent: Graph = {
        "1": {"class_type": "LoadImage", "inputs": {"image": image}},
        "2": {"class_type": "VAEEncode", "inputs": {"pixels": ["1", 0], "vae": ["4", 2]}},
        **(mask or {}),
    }
    return {**changed("3", "latent_image", ["10" if mask else "2", 0]), **latent}


async def test_a_masked_picture_is_drawn_over_where_the_mask_is(server: Server) -> None:
    """A picture's own mask is where it is transparent, a channel's where it is bright."""
    red, holed, white = Image.new("RGBA", (64, 64), (255, 0, 0)), Image.new("RGBA", (64, 64)), Image.new("L", (64, 64))
    holed.paste((0, 0, 0, 255), (0, 0, 32, 64))
    white.paste(255, (32, 0, 64, 64))
    base, alpha, grey = [name(await server.upload(encoded(picture))) for picture in (red, holed, white)]
    loaded: Graph = {"11": {"class_type": "LoadImage", "inputs": {"image": alpha}}}
    channel: Graph = {
        "12": {"class_type": "LoadImage", "inputs": {"image": grey}},
        "11": {"class_type": "ImageToMask", "inputs": {"image": ["12", 0], "channel": "red"}},
    }
    for mask, slot in ((loaded, 1), (channel, 0)):
        mask["10"] = {"class_type": "SetLatentNoiseMask", "inputs": {"samples": ["2", 0], "mask": ["11", slot]}}
        (file,) = files(await server.ended(await server.begin(editing(base, mask))))
        drawn = Image.open(io.BytesIO(await server.view(**file))).convert("RGB")
        assert drawn.getpixel((3, 3)) == (255, 0, 0)
        assert drawn.getpixel((60, 3)) != (255, 0, 0)


def encoded(picture: Image.Image) -> bytes:
    made = io.BytesIO()
    picture.save(made, "png")
    return made.getvalue()


def name(told: Document) -> str:
    path = f"{told['subfolder']}/{told['name']}".removeprefix("/")
    return path if told["type"] == "input" else f"{path} [{told['type']}]"


async def test_an_upload_may_lie_in_temp_and_in_a_folder(server: Server, picture: MakePicture) -> None:
    told = await server.upload(picture(64, 32), type="temp", subfolder="house")
    assert (told["subfolder"], told["type"]) == ("house", "temp")
    scaled: Graph = {
        **editing(name(told)),
        "2": {"class_type": "VAEEncode", "inputs": {"pixels": ["13", 0], "vae": ["4", 2]}},
        "13": {
            "class_type": "ImageScale",
            "inputs": {"image": ["1", 0], "upscale_method": "area", "width": 96, "height": 48, "crop": "center"},
        },
        "14": {"class_type": "RepeatLatentBatch", "inputs": {"samples": ["2", 0], "amount": 2}},
    }
    found = files(await server.ended(await server.begin(changed("3", "latent_image", ["14", 0], scaled))))
    assert len(found) == 2
    assert Image.open(io.BytesIO(await server.view(**found[0]))).size == (96, 48)


@pytest.mark.parametrize("data", [b"", b"a fox"])
async def test_an_upload_that_is_no_picture(data: bytes, server: Server) -> None:
    form = FormData()
    form.add_field("image", data, filename="fox.png")
    async with server.http.post(f"{server.url}/upload/image", data=form) as answer:
        assert answer.status == 400


async def test_tasks_survive_a_new_sandbox(server: Server) -> None:
    id = await server.begin(asking("a long fox [fault:long 1]"))
    other = Sandbox(accepts=lambda key: key == KEY)
    anew = Server(server.http, f"{await other.start()}/comfyui")
    try:
        assert await anew.get(f"/history/{id}") == {}
        assert await place(anew, id)
        (first, _) = files(await anew.ended(id))
        assert await anew.view(**first) == await server.view(**first)
    finally:
        await other.close()


# -- over a WebSocket --


async def heard(socket: ClientWebSocketResponse) -> list[tuple[str, Document]]:
    """What it says until a task has ended."""
    found: list[tuple[str, Document]] = []
    while not found or found[-1][0] != "executing" or found[-1][1]["node"]:
        message = await socket.receive_json(timeout=5)
        found.append((message["type"], message["data"]))
    return found


async def test_a_client_hears_of_its_own_prompts(server: Server) -> None:
    async with server.http.ws_connect(f"{server.url}/ws", params={"clientId": "fox"}) as socket:
        greeting = {"status": {"exec_info": {"queue_remaining": 0}}, "sid": "fox"}
        assert await socket.receive_json() == {"type": "status", "data": greeting}
        await server.begin(asking("another's"), "hen")
        await server.begin(asking("nobody's"))
        id = await server.begin(asking("[fault:long 0.5]"), "fox")
        found = await heard(socket)
    assert {data["prompt_id"] for _, data in found} == {id}
    types = [type for type, _ in found]
    count = types.count("progress")
    ended = ["executed", "execution_success", "executing"]
    assert types == ["execution_start", "executing", *["progress"] * count, *ended]
    (shown,) = [data["output"] for type, data in found if type == "executed"]
    assert len(msgspec.convert(shown, dict[str, list[object]])["images"]) == 2
    made = [int(str(data["value"])) for type, data in found if type == "progress"]
    assert made == sorted(set(made)) and len(made) > 3
    assert {data["max"] for type, data in found if type == "progress"} == {20}


async def test_whoever_comes_late_hears_the_rest(server: Server) -> None:
    id = await server.begin(asking("[fault:long 1]"), "fox")
    await running(server, id)
    async with server.http.ws_connect(f"{server.url}/ws?clientId=fox") as socket:
        types = {type for type, _ in await heard(socket)}
    assert types == {"status", "progress", "executed", "execution_success", "executing"}


@pytest.mark.parametrize(
    ("prompt", "event"), [("[fault:failed]", "execution_error"), ("[fault:long 5]", "execution_interrupted")]
)
async def test_a_client_hears_how_it_ends(prompt: str, event: str, server: Server) -> None:
    async with server.http.ws_connect(f"{server.url}/ws?clientId=fox") as socket:
        id = await server.begin(asking(prompt), "fox")
        if event == "execution_interrupted":
            await stopped_while_running(server, id)
        assert [type for type, _ in await heard(socket)][-2] == event


async def test_a_listener_does_not_keep_the_sandbox_open(server: Server) -> None:
    other = Sandbox(accepts=lambda key: key == KEY)
    async with server.http.ws_connect(f"{await other.start()}/comfyui/ws") as socket:
        assert len((await socket.receive_json())["data"]["sid"]) == 32
        closing = asyncio.create_task(other.close())
        assert (await socket.receive()).type is WSMsgType.CLOSE
        await closing


async def test_a_listener_does_not_say_much(server: Server) -> None:
    async with server.http.ws_connect(f"{server.url}/ws") as socket:
        await socket.send_str(" " * 70_000)
        said = [message.type async for message in socket]
    assert (said, socket.close_code) == ([WSMsgType.TEXT], WSCloseCode.MESSAGE_TOO_BIG)


async def test_a_listener_needs_the_key_and_a_websocket(address: str, server: Server) -> None:
    async with ClientSession() as http, http.get(f"{address}/comfyui/ws") as answer:
        assert answer.status == 401
    async with server.http.get(f"{server.url}/ws") as answer:
        assert answer.status == 400


# -- stopped, failed --


async def running(server: Server, id: str) -> None:
    while True:
        if await place(server, id) == "queue_running":
            break
        await asyncio.sleep(0.01)


async def stopped_while_running(server: Server, id: str) -> None:
    await running(server, id)
    await server.post("/interrupt", {"prompt_id": "another"})
    await server.post("/interrupt", {"prompt_id": id})


async def test_a_task_that_is_taken_back_before_it_runs_is_forgotten(server: Server) -> None:
    for _ in range(50):  # until it is still waiting when that arrives
        id = await server.begin(asking("[fault:long 5]"))
        await server.post("/queue", {"delete": [id]})
        if not await place(server, id):
            break
    assert (await place(server, id), await server.get(f"/history/{id}")) == ("", {})


async def test_all_that_waits_is_taken_back_and_all_that_runs_is_stopped(server: Server) -> None:
    for _ in range(50):  # until one is still waiting when that arrives
        first = await server.begin(asking("[fault:long 5]"))
        await running(server, first)
        second = await server.begin(asking("[fault:long 5]"))
        await server.post("/queue", {"clear": True})
        if not await place(server, second):
            break
    assert await place(server, first) == "queue_running"
    await server.post("/interrupt", {})
    assert await place(server, first) == ""
    assert status(await server.ended(first))["status_str"] == "error"


@pytest.mark.parametrize(
    ("prompt", "stop", "event"),
    [
        ("[fault:long 5]", stopped_while_running, "execution_interrupted"),
        ("[fault:failed]", None, "execution_error"),
    ],
)
async def test_a_task_that_does_not_succeed(
    prompt: str, stop: Callable[[Server, str], Awaitable[None]] | None, event: str, server: Server
) -> None:
    id = await server.begin(asking(prompt))
    if stop:
        await stop(server, id)
    entry = await server.ended(id)
    assert (entry["outputs"], status(entry)["status_str"], status(entry)["completed"]) == ({}, "error", False)
    messages = status(entry)["messages"]
    assert isinstance(messages, list)
    assert messages[-1][0] == event


# -- what it refuses --

CYCLE = changed("3", "latent_image", ["3", 0])
NODES: dict[str, tuple[Graph, str, str]] = {
    "missing": (changed("3", "seed", None), "required_input_missing", "seed"),
    "too many steps": (changed("3", "steps", 10_001), "value_bigger_than_max", "steps"),
    "too small": (changed("5", "width", 8), "value_smaller_than_min", "width"),
    "no number": (changed("3", "cfg", "much"), "invalid_input_type", "cfg"),
    "no sampler": (changed("3", "sampler_name", "Euler"), "value_not_in_list", "sampler_name"),
    "no checkpoint": (changed("4", "ckpt_name", "missing.safetensors"), "value_not_in_list", "ckpt_name"),
    "no link": (changed("8", "vae", "4"), "bad_linked_input", "vae"),
    "link to nothing": (changed("8", "vae", ["44", 2]), "bad_linked_input", "vae"),
    "wrong link": (changed("8", "vae", ["4", 1]), "return_type_mismatch", "vae"),
    "no output there": (changed("8", "vae", ["4", 3]), "return_type_mismatch", "vae"),
    "no upload": (editing("fox.png"), "custom_validation_failed", "image"),
}


@pytest.mark.parametrize("case", NODES)
async def test_inputs_of_nodes_that_it_refuses(case: str, server: Server) -> None:
    graph, type, input = NODES[case]
    told = await server.post("/prompt", {"prompt": graph}, status=400)
    error, nodes = told["error"], told["node_errors"]
    assert isinstance(error, dict) and error["type"] == "prompt_outputs_failed_validation"
    assert isinstance(nodes, dict)
    (wrong,) = next(iter(nodes.values()))["errors"]
    assert (wrong["type"], wrong["extra_info"]["input_name"]) == (type, input)


GRAPHS: dict[str, tuple[object, str]] = {
    "nothing": (None, "no_prompt"),
    "nothing in it": ({}, "prompt_no_outputs"),
    "no output": ({"4": TEXT_TO_IMAGE["4"]}, "prompt_no_outputs"),
    "a node that is not installed": ({"1": {"class_type": "FoxLoader", "inputs": {}}}, "missing_node_type"),
    "a node without a type": ({"1": {}}, "missing_node_type"),
    "a cycle": (CYCLE, "prompt_outputs_failed_validation"),
    "more than the sandbox draws": (changed("5", "batch_size", 99), "prompt_outputs_failed_validation"),
    "nothing drawn": (changed("8", "samples", ["5", 0]), "prompt_outputs_failed_validation"),
}


@pytest.mark.parametrize("case", GRAPHS)
async def test_workflows_that_it_refuses(case: str, server: Server) -> None:
    graph, type = GRAPHS[case]
    told = await server.post("/prompt", {} if graph is None else {"prompt": graph}, status=400)
    error = told["error"]
    assert isinstance(error, dict) and error["type"] == type


async def test_without_the_key_it_is_shut(address: str) -> None:
    async with ClientSession() as http, http.get(f"{address}/comfyui/queue") as answer:
        assert answer.status == 401


@pytest.mark.parametrize("path", ["/object_info", "/history"])
async def test_other_paths_are_not_there(path: str, server: Server) -> None:
    async with server.http.get(server.url + path) as answer:
        assert answer.status == 404


@pytest.mark.parametrize(("prompt", "status"), [("[fault:500]", 500), ("[fault:429]", 429), ("[fault:502page]", 502)])
async def test_trouble(prompt: str, status: int, server: Server) -> None:
    await server.post("/prompt", {"prompt": asking(prompt)}, status)


async def test_trouble_with_the_pictures(server: Server) -> None:
    assert files(await server.ended(await server.begin(asking("[fault:empty]")))) == []
    (first, _) = files(await server.ended(await server.begin(asking("[fault:expired]"))))
    async with server.http.get(f"{server.url}/view", params=first) as answer:
        assert answer.status == 404


async def test_checkpoints(server: Server) -> None:
    assert "sandbox-sd15.safetensors" in await server.get("/models/checkpoints")
