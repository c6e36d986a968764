"""ComfyUI, as its source code has it (`server.py`, `execution.py`, `nodes.py`, `main.py`; 2026-11-20, source code).

A workflow is checked node by node, with the server's own errors, and then followed to what it draws: text to image,
image to image, inpainting. Nodes that are not in the table here are not installed.

Not as there: a task's id is no UUID, because it carries the task, so that a sandbox started anew knows it; an id that
the client sends is not used; the history tells no graph; an upload gets a name of the sandbox's own; the WebSocket
tells of the sampler and of what is shown, and of the queue only once. Every file called `….safetensors` is a
checkpoint, as the sandbox cannot know what a channel calls its own; `missing.safetensors` is none.
"""

from __future__ import annotations

import hashlib
import uuid
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from typing import Literal

import msgspec
from aiohttp import web
from aiohttp.typedefs import Handler
from msgspec.structs import replace

from pictura.core.errors import BadRequest
from pictura.sandbox.base import HEARTBEAT_S, Simulator, Studio, Visit, fails
from pictura.sandbox.draw import Scene
from pictura.sandbox.inputs import Input as Picture
from pictura.sandbox.inputs import look
from pictura.sandbox.local import REASONS, grey, opened
from pictura.sandbox.tasks import Phase, Task

#: Where a task is, and how many of its steps are made.
Stand = tuple[Phase, int]

CHECKPOINTS = ("sandbox-sd15.safetensors", "sandbox-sdxl.safetensors")
FILE_BYTES = 100_000_000
FORMATS = ("png", "jpeg", "webp", "gif")
#: Uploads that are kept; the oldest give way.
KEPT = 200
#: What the node is called that shows the pictures, whatever its id in the graph.
SHOWN = "pictures"
#: Seconds between two looks at what there is to tell over a WebSocket.
TICK_S = 0.02
#: Bytes of a message to the WebSocket.
MOST_SAID = 64 * 1024
MOST_SIDE, DRAWN_SIDE, MOST_PICTURES = 16384, 8192, 16

SAMPLERS = (
    *("euler", "euler_cfg_pp", "euler_ancestral", "heun", "dpm_2", "dpm_2_ancestral", "lms", "dpmpp_2s_ancestral"),
    *("dpmpp_sde", "dpmpp_2m", "dpmpp_2m_sde", "dpmpp_3m_sde", "ddpm", "lcm", "ipndm", "deis", "res_multistep"),
    *("ddim", "uni_pc", "uni_pc_bh2"),
)
SCHEDULERS = (
    *("simple", "sgm_uniform", "karras", "exponential", "ddim_uniform", "beta", "normal", "linear_quadratic"),
    "kl_optimal",
)

# -- nodes: what goes in, and what comes out --


class Number(msgspec.Struct, frozen=True):
    """From `low` to `high`, both included."""

    low: float
    high: float
    whole: bool = True


class Text(msgspec.Struct, frozen=True):
    """Any text."""


class Word(msgspec.Struct, frozen=True):
    """One of these words."""

    words: tuple[str, ...]

    def has(self, value: object) -> bool:
        return value in self.words


class Checkpoint(Word, frozen=True):
    """One of these files, or any other of the kind."""

    def has(self, value: object) -> bool:
        return isinstance(value, str) and value.endswith(".safetensors") and value != "missing.safetensors"


class Upload(msgspec.Struct, frozen=True):
    """The name of a picture that was uploaded."""


class Link(msgspec.Struct, frozen=True):
    """The output of another node."""

    type: str


Input = Number | Text | Word | Upload | Link


class Node(msgspec.Struct, frozen=True):
    """`shows`: it is an output of the workflow, and says under which folder its pictures lie."""

    inputs: Mapping[str, Input]
    outputs: tuple[str, ...] = ()
    shows: Literal["", "output", "temp"] = ""


_SIDE = Number(16, MOST_SIDE)
_SCALES = Word(("nearest-exact", "bilinear", "area", "bicubic", "lanczos"))

NODES: Mapping[str, Node] = {
    "CheckpointLoaderSimple": Node({"ckpt_name": Checkpoint(CHECKPOINTS)}, ("MODEL", "CLIP", "VAE")),
    "CLIPTextEncode": Node({"text": Text(), "clip": Link("CLIP")}, ("CONDITIONING",)),
    "EmptyLatentImage": Node({"width": _SIDE, "height": _SIDE, "batch_size": Number(1, 4096)}, ("LATENT",)),
    "LoadImage": Node({"image": Upload()}, ("IMAGE", "MASK")),
    "ImageToMask": Node({"image": Link("IMAGE"), "channel": Word(("red", "green", "blue", "alpha"))}, ("MASK",)),
    "ImageScale": Node(
        {
            "image": Link("IMAGE"),
            "upscale_method": _SCALES,
            "width": Number(0, MOST_SIDE),
            "height": Number(0, MOST_SIDE),
            "crop": Word(("disabled", "center")),
        },
        ("IMAGE",),
    ),
    "VAEEncode": Node({"pixels": Link("IMAGE"), "vae": Link("VAE")}, ("LATENT",)),
    "SetLatentNoiseMask": Node({"samples": Link("LATENT"), "mask": Link("MASK")}, ("LATENT",)),
    "RepeatLatentBatch": Node({"samples": Link("LATENT"), "amount": Number(1, 64)}, ("LATENT",)),
    "KSampler": Node(
        {
            "model": Link("MODEL"),
            "seed": Number(0, 2**64 - 1),
            "steps": Number(1, 10_000),
            "cfg": Number(0, 100, whole=False),
            "sampler_name": Word(SAMPLERS),
            "scheduler": Word(SCHEDULERS),
            "positive": Link("CONDITIONING"),
            "negative": Link("CONDITIONING"),
            "latent_image": Link("LATENT"),
            "denoise": Number(0, 1, whole=False),
        },
        ("LATENT",),
    ),
    "VAEDecode": Node({"samples": Link("LATENT"), "vae": Link("VAE")}, ("IMAGE",)),
    "SaveImage": Node({"images": Link("IMAGE"), "filename_prefix": Text()}, shows="output"),
    "PreviewImage": Node({"images": Link("IMAGE")}, shows="temp"),
}

# -- errors --


class Refused(Exception):
    """A workflow that is not taken."""

    def __init__(self, type: str, message: str, details: str = "", node_errors: Mapping[str, object] | None = None):
        super().__init__(message)
        error = {"type": type, "message": message, "details": details, "extra_info": {}}
        self.document = {"error": error, "node_errors": node_errors or {}}


_FAILED = "prompt_outputs_failed_validation"
_FINE = ("", "", "")

# -- a workflow: checked, then followed to what it draws --

Uploads = Mapping[str, Picture]


class Latent(msgspec.Struct, frozen=True, kw_only=True):
    """Pictures before they are decoded; `drawn`: how, once they were sampled."""

    width: int
    height: int
    count: int = 1
    base: bytes | None = None
    mask: bytes | None = None
    drawn: Mapping[str, object] = {}


class Workflow:
    """A graph that has passed. Raises Refused for one that does not."""

    def __init__(self, graph: object, uploads: Uploads) -> None:
        self._graph = graph if isinstance(graph, dict) else {}
        self._uploads = uploads
        for id, entry in self._graph.items():
            _check_type(id, entry)
        self.shown = next((id for id in self._graph if self.node(id).shows), "")
        if not self.shown:
            raise Refused("prompt_no_outputs", "Prompt has no outputs")
        wrong = {id: found for id in self._graph if (found := self._wrong(id))}
        if wrong:
            told = [f"{one['message']}: {one['details']}" for found in wrong.values() for one in found]
            errors = {id: {"errors": found, "class_type": self.type(id)} for id, found in wrong.items()}
            raise Refused(_FAILED, "Prompt outputs failed validation", "\n".join(told), errors)

    def type(self, id: str) -> str:
        return str(self._graph[id]["class_type"])

    def node(self, id: str) -> Node:
        return NODES[self.type(id)]

    def latent(self) -> Latent:
        """What is shown, before it is decoded. Raises Refused for what the sandbox does not draw."""
        try:
            found = self._latent(self._source(self._source(self.shown, "images"), "samples"))
        except RecursionError:
            raise Refused(_FAILED, "Prompt outputs failed validation", "Dependency cycle detected") from None
        if not found.drawn:
            raise Refused(_FAILED, "The sandbox shows what a KSampler drew")
        if found.count > MOST_PICTURES or max(found.width, found.height) > DRAWN_SIDE:
            message = f"The sandbox draws at most {MOST_PICTURES} pictures of {DRAWN_SIDE} pixels a side"
            raise Refused(_FAILED, message)
        return found

    # Each of the following follows the graph against its arrows.

    def _input(self, id: str, name: str) -> object:
        return self._graph[id].get("inputs", {}).get(name)

    def _whole(self, id: str, name: str) -> int:
        return int(str(self._input(id, name)))

    def _source(self, id: str, name: str) -> str:
        link = self._input(id, name)
        if not isinstance(link, list):
            raise Refused(_FAILED, f"The sandbox cannot draw what comes from {self.type(id)}")
        return str(link[0])

    def _latent(self, id: str) -> Latent:
        type = self.type(id)
        if type == "EmptyLatentImage":
            width, height = self._whole(id, "width"), self._whole(id, "height")
            return Latent(width=width // 8 * 8, height=height // 8 * 8, count=self._whole(id, "batch_size"))
        if type == "VAEEncode":
            return self._encoded(self._source(id, "pixels"))
        if type == "KSampler":
            return self._sampled(id)
        before = self._latent(self._source(id, "samples"))
        if type == "SetLatentNoiseMask":
            return replace(before, mask=self._mask(id))
        return replace(before, count=before.count * self._whole(id, "amount"))

    def _encoded(self, pixels: str) -> Latent:
        loaded = self._loaded(pixels)
        width, height = loaded.media.width, loaded.media.height
        if self.type(pixels) == "ImageScale":
            width, height = self._whole(pixels, "width"), self._whole(pixels, "height")
        return Latent(width=width // 8 * 8, height=height // 8 * 8, base=loaded.data)

    def _sampled(self, id: str) -> Latent:
        drawn = {
            "model": self._input(self._source(id, "model"), "ckpt_name"),
            "prompt": self._input(self._source(id, "positive"), "text"),
            "seed": self._whole(id, "seed"),
            "steps": self._whole(id, "steps"),
        }
        return replace(self._latent(self._source(id, "latent_image")), drawn=drawn)

    def _mask(self, id: str) -> bytes:
        """A loaded picture's own mask is where it is transparent; a mask of a channel is where that is white."""
        source = self._source(id, "mask")
        data = self._loaded(source).data
        return data if self.type(source) == "LoadImage" else grey(data)

    def _loaded(self, id: str) -> Picture:
        if self.type(id) != "LoadImage":
            return self._loaded(self._source(id, "image"))
        return self._uploads[str(self._input(id, "image"))]

    # And these tell what is wrong with a node.

    def _wrong(self, id: str) -> list[dict[str, object]]:
        found: list[dict[str, object]] = []
        for name, wanted in self.node(id).inputs.items():
            type, message, details = self._verdict(self._input(id, name), wanted)
            if type:
                extra = {"input_name": name}
                details = f"{name}{details}"
                found.append({"type": type, "message": message, "details": details, "extra_info": extra})
        return found

    def _verdict(self, value: object, wanted: Input) -> tuple[str, str, str]:
        """Kind of the error, message and details; all empty for a value that is taken."""
        if value is None:
            return "required_input_missing", "Required input is missing", ""
        if isinstance(wanted, Link):
            return self._judge_link(value, wanted)
        if isinstance(wanted, Number):
            return _judge_number(value, wanted)
        if isinstance(wanted, Word) and not wanted.has(value):
            return "value_not_in_list", "Value not in list", f": {value!r} not in {list(wanted.words)}"
        if isinstance(wanted, Upload) and value not in self._uploads:
            return "custom_validation_failed", "Custom validation failed for node", f" - Invalid image file: {value}"
        return _FINE

    def _judge_link(self, value: object, wanted: Link) -> tuple[str, str, str]:
        if not isinstance(value, list) or len(value) != 2 or value[0] not in self._graph:
            message = "Bad linked input, must be a length-2 list of [node_id, slot_index]"
            return "bad_linked_input", message, ""
        given = dict(enumerate(self.node(value[0]).outputs)).get(value[1])
        if given != wanted.type:
            details = f", received_type({given}) mismatch input_type({wanted.type})"
            return "return_type_mismatch", "Return type mismatch between linked nodes", details
        return _FINE


def _check_type(id: str, entry: object) -> None:
    type = entry.get("class_type") if isinstance(entry, dict) else None
    if type not in NODES:
        message = f"Node '{type or f'ID #{id}'}' not found. The custom node may not be installed."
        raise Refused("missing_node_type", message, f"Node ID '#{id}'")


def _judge_number(value: object, wanted: Number) -> tuple[str, str, str]:
    if isinstance(value, bool) or not isinstance(value, int | float):
        kind = "INT" if wanted.whole else "FLOAT"
        return "invalid_input_type", f"Failed to convert an input value to a {kind} value", f", {value}"
    if value < wanted.low:
        return "value_smaller_than_min", f"Value {value} smaller than min of {wanted.low:g}", ""
    if value > wanted.high:
        return "value_bigger_than_max", f"Value {value} bigger than max of {wanted.high:g}", ""
    return _FINE


# -- the simulator --


class ComfyUI(Simulator):
    """The server's routes, below `/comfyui`; as there, all of them are below `/comfyui/api` too."""

    name = "comfyui"

    def __init__(self, studio: Studio) -> None:
        super().__init__(studio)
        self._uploads: OrderedDict[str, Picture] = OrderedDict()
        #: Tasks that have not ended, as far as this sandbox has heard of them.
        self._queue: dict[str, None] = {}
        self._interrupted: set[str] = set()

    def routes(self) -> Iterable[web.RouteDef]:
        own = [
            ("GET", "/models/checkpoints", self._checkpoints),
            ("POST", "/upload/image", self._upload),
            ("POST", "/prompt", self._prompt),
            ("GET", "/queue", self._show_queue),
            ("POST", "/queue", self._delete),
            ("POST", "/interrupt", self._interrupt),
            ("GET", "/history/{id}", self._history),
            ("GET", "/view", self._view),
            ("GET", "/ws", self._listen),
        ]
        return [
            web.route(method, prefix + path, self._answering(handler))
            for prefix in ("", "/api")
            for method, path, handler in own
        ]

    async def error(self, visit: Visit, status: int) -> web.StreamResponse:
        if status == 500:
            return web.Response(status=500, text="500 Internal Server Error\n\nServer got itself in trouble")
        return await visit.send({"error": REASONS[status]}, status)

    def _answering(self, handler: Callable[[Visit], Awaitable[web.StreamResponse]]) -> Handler:
        async def answer(request: web.Request) -> web.StreamResponse:
            with Visit(request, self.studio) as visit:
                if not opened(visit, self.studio):
                    return await self.error(visit, 401)
                try:
                    return await handler(visit)
                except Refused as refusal:
                    return await visit.send(refusal.document, 400)
                except BadRequest:
                    return web.Response(status=400)

        return answer

    async def _checkpoints(self, visit: Visit) -> web.StreamResponse:
        return await visit.send(CHECKPOINTS)

    async def _upload(self, visit: Visit) -> web.StreamResponse:
        texts, files = await visit.form(FILE_BYTES, frozenset({"image"}))
        said = {"type": "input", "subfolder": "", **dict(texts)}
        if not files or said["type"] not in ("input", "temp", "output"):
            return web.Response(status=400)
        picture = look(files[0].spool, FORMATS, FILE_BYTES)
        name = f"{hashlib.blake2s(picture.data, digest_size=8).hexdigest()}.{picture.media.format}"
        place = f"{said['subfolder']}/{name}".removeprefix("/")
        self._uploads[place if said["type"] == "input" else f"{place} [{said['type']}]"] = picture
        while len(self._uploads) > KEPT:
            self._uploads.popitem(last=False)
        return await visit.send({"name": name, "subfolder": said["subfolder"], "type": said["type"]})

    async def _prompt(self, visit: Visit) -> web.StreamResponse:
        values, _ = await visit.json()
        if "prompt" not in values:
            raise Refused("no_prompt", "No prompt provided", "No prompt provided")
        workflow = Workflow(values["prompt"], self._uploads)
        latent = workflow.latent()
        if (trouble := await self.misbehave(visit, str(latent.drawn["prompt"]))) is not None:
            return trouble
        facts = {"width": latent.width, "height": latent.height, "count": latent.count, "masked": bool(latent.mask)}
        told = {"folder": workflow.node(workflow.shown).shows, "client": str(values.get("client_id", ""))}
        memo = {**latent.drawn, **facts, **told}
        id = self.studio.tasks.begin(memo, [data for data in (latent.base, latent.mask) if data])
        self._queue[id] = None
        return await visit.send({"prompt_id": id, "number": len(self._queue), "node_errors": {}})

    async def _show_queue(self, visit: Visit) -> web.StreamResponse:
        found = {"running": list[object](), "queued": list[object]()}
        for number, id in enumerate(list(self._queue)):
            phase = self._find(id).phase
            if phase not in found:
                del self._queue[id]
                continue
            found[phase].append([number, id, {}, {}, [SHOWN]])
        return await visit.send({"queue_running": found["running"], "queue_pending": found["queued"]})

    async def _delete(self, visit: Visit) -> web.StreamResponse:
        values, _ = await visit.json()
        ids = list(self._queue) if values.get("clear") else values.get("delete")
        for id in ids if isinstance(ids, list) else []:
            if id in self._queue and self._find(id).phase == "queued":
                self.studio.tasks.cancel(id)
        return web.Response()

    async def _interrupt(self, visit: Visit) -> web.StreamResponse:
        values, _ = await visit.json()
        wanted = values.get("prompt_id")
        for id in [wanted] if isinstance(wanted, str) else list(self._queue):
            if id in self._queue and self._find(id).phase == "running":
                self._interrupted.add(id)
                self.studio.tasks.cancel(id)
        return web.Response()

    async def _history(self, visit: Visit) -> web.StreamResponse:
        id = visit.request.match_info["id"]
        task = self.studio.tasks.find(id)
        if task is None or (task.phase == "cancelled" and id not in self._interrupted):
            return await visit.send({})
        if task.phase in ("queued", "running"):
            self._queue[id] = None  # it was begun in an earlier sandbox
            return await visit.send({})
        outputs = {} if _trouble(task) else {SHOWN: {"images": _images(task)}}
        prompt = [0, id, {}, {}, [SHOWN]]
        return await visit.send({id: {"prompt": prompt, "outputs": outputs, "status": _status(task), "meta": {}}})

    async def _view(self, visit: Visit) -> web.StreamResponse:
        query = visit.request.query
        id, _, rest = query.get("filename", "").removeprefix("ComfyUI_").rpartition("_")[0].rpartition("_")
        task = self.studio.tasks.find(id)
        if task is None or query.get("type", "output") != task.memo["folder"] or "[fault:expired]" in task.prompt:
            return web.Response(status=404)
        (picture,) = await self.paint(visit, [_scene(task, int(rest))])
        return web.Response(body=picture.read(), content_type=picture.media_type)

    async def _listen(self, visit: Visit) -> web.StreamResponse:
        """Tells one client what happens to its prompts. What it says itself means nothing here."""
        client = visit.request.query.get("clientId") or uuid.uuid4().hex
        socket = web.WebSocketResponse(heartbeat=HEARTBEAT_S, max_msg_size=MOST_SAID)
        await socket.prepare(visit.request)
        info = {"exec_info": {"queue_remaining": len(self._queue)}}
        with suppress(ConnectionResetError):
            await socket.send_json({"type": "status", "data": {"status": info, "sid": client}})
            await self._tell(socket, client)
        return socket

    async def _tell(self, socket: web.WebSocketResponse, client: str) -> None:
        """… until it or the sandbox closes. Nothing is repeated for whoever comes late."""
        stands = {task.id: _stand(task) for task in self._of(client)}
        while not (socket.closed or self.studio.closing.is_set()):
            for task in self._of(client):
                stands.setdefault(task.id, ("queued", 0))
            for id, before in list(stands.items()):
                task = self._find(id)
                stands[id] = _stand(task)
                for type, facts in self._news(task, before, stands[id]):
                    await socket.send_json({"type": type, "data": {"prompt_id": id, **facts}})
            with suppress(TimeoutError):
                await socket.receive(timeout=TICK_S)

    def _news(self, task: Task, before: Stand, now: Stand) -> Iterator[tuple[str, dict[str, object]]]:
        """What happened to a task between two looks at it."""
        (was, made), (phase, step) = before, now
        if was == "queued" and (phase in ("running", "done") or task.id in self._interrupted):
            yield "execution_start", {}
            yield "executing", {"node": "sampler"}
            was = "running"
        if was != "running":
            return
        if step > made and phase != "cancelled":
            yield "progress", {"value": step, "max": task.memo["steps"], "node": "sampler"}
        if phase == "done" and not _trouble(task):
            yield "executed", {"node": SHOWN, "display_node": SHOWN, "output": {"images": _images(task)}}
        if phase != "running":
            yield _trouble(task) or "execution_success", {}
            yield "executing", {"node": None}

    def _of(self, client: str) -> list[Task]:
        """The tasks in the queue that a client began."""
        return [task for task in map(self._find, self._queue) if task.memo.get("client") == client]

    def _find(self, id: str) -> Task:
        found = self.studio.tasks.find(id)
        assert found is not None
        return found


def _stand(task: Task) -> Stand:
    return task.phase, task.progress * int(str(task.memo["steps"])) // 100


def _trouble(task: Task) -> str:
    """The event that ended a task before it was done; "" for one that succeeded."""
    if task.phase == "cancelled":
        return "execution_interrupted"
    return "execution_error" if fails(task.prompt) else ""


def _status(task: Task) -> dict[str, object]:
    trouble = _trouble(task)
    facts = {"prompt_id": task.id, "node_id": "sampler", "node_type": "KSampler", "executed": []}
    if trouble == "execution_error":
        facts |= {"exception_message": "Allocation on device\n", "exception_type": "torch.OutOfMemoryError"}
    messages = [["execution_start", {"prompt_id": task.id}], [trouble or "execution_success", facts]]
    return {"status_str": "error" if trouble else "success", "completed": not trouble, "messages": messages}


def _images(task: Task) -> list[dict[str, object]]:
    """The files, whose names carry the task."""
    count = 0 if "[fault:empty]" in task.prompt else int(str(task.memo["count"]))
    names = [f"ComfyUI_{task.id}_{number:05}_.png" for number in range(1, count + 1)]
    return [{"filename": name, "subfolder": "", "type": task.memo["folder"]} for name in names]


def _scene(task: Task, number: int) -> Scene:
    memo = task.memo
    return Scene(
        model=str(memo["model"]),
        prompt=task.prompt,
        width=int(str(memo["width"])),
        height=int(str(memo["height"])),
        seed=int(str(memo["seed"])) + number - 1,
        label=f"{memo['steps']} steps",
        base=task.inputs[0] if task.inputs else None,
        mask=task.inputs[1] if memo["masked"] and len(task.inputs) > 1 else None,
    )
