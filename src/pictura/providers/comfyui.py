"""ComfyUI, http://127.0.0.1:8188: what is sent is a workflow, a graph of nodes.

Wire facts: source code of ComfyUI (`server.py`, `execution.py`, `nodes.py`; seen 2026-11-20, confidence: source code).

    POST /upload/image   form: image, type, subfolder, overwrite → {"name", "subfolder", "type"}
    POST /prompt         {"prompt": {node: {"class_type", "inputs"}}, "client_id"}
                         → {"prompt_id", "number", "node_errors"}
                         → 400 {"error": {"type", "message", "details"}, "node_errors": {node: {"errors": [{"type",
                           "message", "details", "extra_info": {"input_name"}}], "class_type"}}}
    GET  /history/{id}   {} until it has ended, then {id: {"outputs": {node: {"images": [{"filename", "subfolder",
                         "type"}]}}, "status": {"status_str": "success" | "error", "messages": [[event, facts]]}}}
    GET  /queue          {"queue_running": [[number, id, …]], "queue_pending": […]}
    GET  /view           ?filename&subfolder&type → the file
    POST /queue          {"delete": [id]}; POST /interrupt {"prompt_id"}: older versions stop whatever runs
    GET  /models/checkpoints → [file name]
    WS   /ws?clientId={client_id of POST /prompt} → {"type", "data"}: "progress" {"value", "max", "prompt_id", "node"};
                         "progress_state" {"prompt_id", "nodes": {node: {"value", "max", "state"}}} of nodes that have
                         begun; "executing" {"node": null, "prompt_id"} at the end; binary previews. Nothing is repeated
                         for whoever comes late (`main.py`, `comfy_execution/progress.py`)

Queue and history are in memory: a server that was started anew knows nothing of its tasks. Pictures go into its folder
`temp`, and so do inputs: what lies there is gone with the next start.
"""

from __future__ import annotations

import random
import re
import secrets
from collections.abc import Collection, Iterable, Mapping, Sequence
from contextlib import aclosing
from typing import Annotated, ClassVar
from urllib.parse import quote, urlencode

import msgspec
from msgspec.structs import replace

from pictura.core.errors import BadRequest, Failed, Lost, Malformed, PicturaError, Rejected, Unsupported
from pictura.core.model import Source, Span, Words
from pictura.infra.http import MEGABYTE, Answer
from pictura.infra.payload import Part, Payload, json_payload, multipart_payload
from pictura.infra.spool import Spool
from pictura.providers.answers import document_of, items, mapping, question, said, task_id
from pictura.providers.base import Ask, AskPicture, CancellingProvider, Channel, Done, Pending, Raw
from pictura.providers.local import Engine, authorization, card, chosen, edit_size, error_of, send
from pictura.providers.masks import white_where_edited

_CODE = Source("source code of ComfyUI", "2026-11-20", "source code")

_STEP = 8
#: A queue tells of every task's whole graph.
_TEXT_BYTES = 16 * MEGABYTE
_SUBFOLDER = "pictura"
#: How long one question about a task listens for how far it is: a step of a large model takes about as long.
_LISTEN_S = 1.0


# -- workflows, as ComfyUI's "Export (API)" writes them; {{this}} is an input by its name, {{this=20}} has a default --


class Node(msgspec.Struct, frozen=True):
    """`inputs`: values, or links `[node, output]`."""

    class_type: str
    inputs: Mapping[str, object]


Graph = Mapping[str, Node]

_SAMPLER: Mapping[str, object] = {
    "model": ["checkpoint", 0],
    "positive": ["positive", 0],
    "negative": ["negative", 0],
    "latent_image": ["latent", 0],
    "seed": "{{seed}}",
    "steps": "{{steps=20}}",
    "cfg": "{{guidance_scale=8.0}}",
    "sampler_name": "{{sampler_name=euler}}",
    "scheduler": "{{scheduler=normal}}",
    "denoise": "{{strength=1.0}}",
}
_SIZE = {"width": "{{width=1024}}", "height": "{{height=1024}}"}
_SCALED = {**_SIZE, "upscale_method": "lanczos", "crop": "center"}
_COMMON: Graph = {
    "checkpoint": Node("CheckpointLoaderSimple", {"ckpt_name": "{{checkpoint}}"}),
    "positive": Node("CLIPTextEncode", {"clip": ["checkpoint", 1], "text": "{{prompt}}"}),
    "negative": Node("CLIPTextEncode", {"clip": ["checkpoint", 1], "text": "{{negative_prompt=}}"}),
    "sampler": Node("KSampler", _SAMPLER),
    "pixels": Node("VAEDecode", {"samples": ["sampler", 0], "vae": ["checkpoint", 2]}),
    "pictures": Node("PreviewImage", {"images": ["pixels", 0]}),
}
_ENCODED: Graph = {
    "image": Node("LoadImage", {"image": "{{image}}"}),
    "scaled": Node("ImageScale", {"image": ["image", 0], **_SCALED}),
    "encoded": Node("VAEEncode", {"pixels": ["scaled", 0], "vae": ["checkpoint", 2]}),
}

TEXT_TO_IMAGE: Graph = {**_COMMON, "latent": Node("EmptyLatentImage", {**_SIZE, "batch_size": "{{n}}"})}
IMAGE_TO_IMAGE: Graph = {
    **_COMMON,
    **_ENCODED,
    "latent": Node("RepeatLatentBatch", {"samples": ["encoded", 0], "amount": "{{n}}"}),
    # With more, the picture would be forgotten.
    "sampler": Node("KSampler", {**_SAMPLER, "denoise": "{{strength=0.75}}"}),
}
# The mask is scaled as the picture is: as a picture.
INPAINT: Graph = {
    **_COMMON,
    **_ENCODED,
    "mask": Node("LoadImage", {"image": "{{mask}}"}),
    "scaled mask": Node("ImageScale", {"image": ["mask", 0], **_SCALED}),
    "white": Node("ImageToMask", {"image": ["scaled mask", 0], "channel": "red"}),
    "masked": Node("SetLatentNoiseMask", {"samples": ["encoded", 0], "mask": ["white", 0]}),
    "latent": Node("RepeatLatentBatch", {"samples": ["masked", 0], "amount": "{{n}}"}),
}

#: Inputs that every request has; pictures, which are asked for where a workflow wants them; and what only some requests
#: say, so that a workflow tells what holds for the others.
_ALWAYS = ("prompt", "n", "seed", "checkpoint")
_PICTURES = ("image", "mask")
_SOMETIMES = (
    *("negative_prompt", "width", "height", "steps", "guidance_scale"),
    *("sampler_name", "scheduler", "strength"),
)
INPUTS = (*_ALWAYS, *_PICTURES, *_SOMETIMES)
_INPUT = re.compile(r"\{\{\s*(\w+)\s*(?:(=)([^{}]*))?\}\}")

#: What the nodes' inputs are called here. Of others it is the operator's affair when they are wrong.
_PARAMS = {
    "seed": "seed",
    "steps": "steps",
    "cfg": "guidance_scale",
    "denoise": "strength",
    "sampler_name": "sampler_name",
    "scheduler": "scheduler",
    "width": "size",
    "height": "size",
    "batch_size": "n",
    "amount": "n",
}


def read_workflow(told: object) -> Graph:
    """The graph that an operator wrote, as JSON text or as what that says.

    Raises BadRequest for what is no graph, and for inputs that cannot be filled.
    """
    try:
        text = told if isinstance(told, str) else msgspec.json.encode(told)
        graph = msgspec.json.decode(text, type=dict[str, Node])
    except (msgspec.DecodeError, TypeError) as error:
        message = f'workflow is no graph as ComfyUI\'s "Export (API)" writes it: {error}'
        raise BadRequest(message, param="options") from None
    names, needed = _inputs(graph)
    for name in sorted(names):
        if name not in INPUTS:
            raise BadRequest(f"workflow: there is no input {name!r}; there are {', '.join(INPUTS)}", param="options")
        if name in needed and name in _SOMETIMES:
            message = f"workflow: not every request says its {name}; write what holds then: {{{{{name}=…}}}}"
            raise BadRequest(message, param="options")
    if names.isdisjoint(("seed", "image")):
        message = "workflow: it needs {{seed}}; to the same graph once more ComfyUI gives no picture"
        raise BadRequest(message, param="options")
    return graph


def _inputs(graph: Graph) -> tuple[set[str], set[str]]:
    """The inputs that a workflow names, and those of them that have no default."""
    text = msgspec.json.encode([node.inputs for node in graph.values()]).decode()
    found = _INPUT.findall(text)
    return {name for name, _, _ in found}, {name for name, equals, _ in found if not equals}


def fill(graph: Graph, values: Mapping[str, object]) -> dict[str, Node]:
    """The workflow with `values` in the places of their names."""
    return {id: replace(node, inputs=mapping(_filled(node.inputs, values))) for id, node in graph.items()}


def _filled(told: object, values: Mapping[str, object]) -> object:
    if isinstance(told, dict):
        return {name: _filled(entry, values) for name, entry in told.items()}
    if isinstance(told, list):
        return [_filled(entry, values) for entry in told]
    if not isinstance(told, str):
        return told
    whole = _INPUT.fullmatch(told)
    return _value(whole, values) if whole else _INPUT.sub(lambda found: str(_value(found, values)), told)


def _value(found: re.Match[str], values: Mapping[str, object]) -> object:
    name, _, default = found.groups()
    if name in values:
        return values[name]
    try:
        return msgspec.json.decode(default)
    except msgspec.DecodeError:
        return str(default).strip()


class ComfyUI(Engine, CancellingProvider):
    """ComfyUI, https://docs.comfy.org: a model is a checkpoint's file. No keys, unless a proxy wants one."""

    name = "comfyui"
    base_url = "http://127.0.0.1:8188"
    # It has no variables of its own; these two are Open WebUI's (third party).
    base_url_env = "COMFYUI_BASE_URL"
    channel_options: ClassVar = {
        "workflow": "what it draws by instead of a checkpoint, as JSON: [how to](../how-to/comfyui.md)"
    }
    optional_env: ClassVar = {"api_key": "COMFYUI_API_KEY"}
    sandbox_path = "/comfyui"
    MODELS = (
        card(
            "local-comfyui",
            _CODE,
            "The first checkpoint that the server has; a channel names others by their files. Models that come in "
            "several files want a workflow of their own.",
            step=_STEP,
            pictures=1,
            prompt="optional",
            options={
                "steps": Span(1, 200, default=20),
                "guidance_scale": Span(0, 100, whole=False, default=8),
                "strength": Span(0, 1, whole=False),
                "sampler_name": Words(100),
                "scheduler": Words(100),
            },
        ),
    )

    def check_options(self, options: Mapping[str, object]) -> None:
        super().check_options(options)
        if "workflow" in options:
            read_workflow(options["workflow"])

    async def start(self, ask: Ask, via: Channel) -> Pending:
        graph = _graph(ask, via)
        values = await self._values(ask, _inputs(graph)[0], via)
        body = {"prompt": fill(graph, values), "client_id": ask.client_id}
        told = await _told("POST", "/prompt", via, json_payload(body))
        id = task_id(mapping(told).get("prompt_id"))
        if not id:
            raise Malformed(f"{via.name} took the workflow, but named no task", unbilled=True)
        return Pending(upstream_id=id, poll_after_s=0.5, state={"seed": str(values["seed"]), "client": ask.client_id})

    async def check(self, task: Pending, via: Channel) -> Done | Pending:
        ended = await _history(task, via)
        if ended is None and (place := await _place(task, via)):
            return await _heard(task, via) if place == "queue_running" else task
        # Between the two questions it may have ended.
        ended = ended or await _history(task, via)
        if ended is None:
            message = f"{via.name} no longer knows the task: it was started anew, or its queue cleared"
            raise Failed(message, unbilled=True)
        _check_success(ended, via)
        return await _pictures(ended, task, via)

    async def cancel(self, task: Pending, via: Channel) -> None:
        place = await _place(task, via)
        if place == "queue_pending":
            await _told("POST", "/queue", via, json_payload({"delete": [task.upstream_id]}))
        elif place:
            await _told("POST", "/interrupt", via, json_payload({"prompt_id": task.upstream_id}))

    async def _values(self, ask: Ask, names: Collection[str], via: Channel) -> dict[str, object]:
        """What the inputs of these names are."""
        # Always a seed: the same graph once more would be answered from the cache.
        values = {"prompt": ask.prompt, "n": ask.n, "seed": random.getrandbits(32), **chosen(ask, {})}
        size = edit_size(ask, _STEP) if ask.images else ask.size
        if size.width:
            values |= {"width": size.width, "height": size.height}
        if "checkpoint" in names:
            values["checkpoint"] = self.named(ask) or await _first_checkpoint(via)
        if ask.images:
            values["image"] = await _upload(ask.images[0], via)
        if ask.mask:
            values["mask"] = await _upload(await white_where_edited(ask.mask), via)
        return values


def _graph(ask: Ask, via: Channel) -> Graph:
    """The channel's own workflow, else the one for what is asked."""
    own = via.options.get("workflow")
    if own is not None:
        return _fitting(read_workflow(own), ask)
    if not ask.images:
        return TEXT_TO_IMAGE
    return INPAINT if ask.mask else IMAGE_TO_IMAGE


def _fitting(workflow: Graph, ask: Ask) -> Graph:
    """Raises Unsupported for what it would pass over without a word, and BadRequest where it lacks a picture."""
    names, needed = _inputs(workflow)
    said = _said(ask)
    for name, param in said.items():
        if name not in names:
            raise Unsupported(f"{ask.card.id}'s workflow takes no {param}; leave it out", param=param)
    for name in _PICTURES:
        if name in needed and name not in said:
            raise BadRequest(f"{ask.card.id}'s workflow works over the caller's {name}; send one", param=name)
    return workflow


def _said(ask: Ask) -> Mapping[str, str]:
    """The inputs that the caller wrote something for, and how they are called there."""
    said = {
        "prompt": ask.prompt,
        "n": ask.n > 1,
        "width": ask.size.width,
        "height": ask.size.height,
        "image": ask.images,
        "mask": ask.mask,
        **dict.fromkeys(ask.options(), True),
    }
    return {name: _PARAMS.get(name, name) for name, value in said.items() if value}


# -- exchanges --


async def _told(method: str, path: str, via: Channel, body: Payload | None = None) -> object:
    """What the server says to something that it shall do: JSON, or nothing."""
    request = via.request(method, path, headers=authorization(via), body=body)
    answer = await send(request, via)
    answer.close()
    if answer.status != 200:
        raise _error(answer, via)
    return answer.json() if answer.body else None


async def _known(path: str, via: Channel) -> Mapping[str, object]:
    """The JSON object that it says to a question, as `_asked`."""
    answer = await _asked(path, via)
    answer.close()
    with question(answer):
        return mapping(answer.json())


async def _asked(path: str, via: Channel) -> Answer:
    """What it says to a question. Raises Lost where the question may be put again: the task goes on meanwhile."""
    request = replace(via.request("GET", path, headers=authorization(via)), text_cap=_TEXT_BYTES)
    answer = await via.http.send(request)
    if answer.status == 200:
        return answer
    answer.close()
    if answer.status >= 500:
        raise Lost(f"{via.name} answered {answer.status} to a question", upstream_status=answer.status)
    with question(answer):
        raise error_of(answer, via)


async def _first_checkpoint(via: Channel) -> str:
    found = await _told("GET", "/models/checkpoints", via)
    if isinstance(found, list) and found and isinstance(found[0], str):
        return found[0]
    raise Rejected(f"{via.name} has no checkpoint; put one into its folder models/checkpoints", config=True)


async def _upload(image: AskPicture, via: Channel) -> str:
    """How a node calls the picture: `folder/name [temp]`."""
    name = f"{secrets.token_hex(8)}-{image.filename}"
    parts = [image.part("image", name), Part("type", "temp"), Part("subfolder", _SUBFOLDER)]
    told = mapping(await _told("POST", "/upload/image", via, multipart_payload(parts)))
    return f"{told.get('subfolder')}/{told.get('name')} [{told.get('type')}]"


async def _history(task: Pending, via: Channel) -> Mapping[str, object] | None:
    """What the server says of a task that has ended; None of one that has not."""
    told = await _known(f"/history/{quote(task.upstream_id, safe='')}", via)
    return mapping(told.get(task.upstream_id)) or None


async def _place(task: Pending, via: Channel) -> str:
    """Whether a task is `queue_running` or `queue_pending`; "" if neither."""
    queue = await _known("/queue", via)
    for place in ("queue_running", "queue_pending"):
        entries = queue.get(place)
        for entry in entries if isinstance(entries, list) else []:
            if isinstance(entry, list) and task.upstream_id in entry[:2]:
                return place
    return ""


async def _pictures(ended: Mapping[str, object], task: Pending, via: Channel) -> Done:
    """Fetched here, not by whoever delivers: a proxy before the server wants its key for them too."""
    seed = task.state.get("seed", "")
    raws: list[Raw] = []
    try:
        for place in _files(ended):
            raws.append(Raw(spool=await _view(place, via), seed=int(seed) if seed.isdigit() else None))
    except BaseException:
        for raw in raws:
            assert raw.spool is not None
            raw.spool.close()
        raise
    if not raws:
        raise Malformed(f"{via.name} ended without a picture", unbilled=True)
    return Done(pictures=tuple(raws))


async def _view(place: Mapping[str, object], via: Channel) -> Spool:
    try:
        answer = await _asked(f"/view?{urlencode(place)}", via)
    except Rejected as error:
        if error.upstream_status != 404:
            raise
        raise Malformed(f"{via.name} made a picture, and has it no longer", unbilled=True) from None
    if answer.spool is None:
        answer.close()
        raise Malformed(f"{via.name} has no picture where it said that one is", unbilled=True)
    return answer.spool


def _files(ended: Mapping[str, object]) -> Sequence[Mapping[str, object]]:
    """The pictures that were saved; where none was, those that were shown."""
    nodes = [mapping(node) for node in mapping(ended.get("outputs")).values()]
    made = [image for node in nodes for image in items(node.get("images"))]
    # A workflow that saves what it made shows previews on the way.
    found = [image for image in made if image.get("type") == "output"] or made
    return [{name: image.get(name, "") for name in ("filename", "subfolder", "type")} for image in found]


# -- progress --


class _Steps(msgspec.Struct, frozen=True):
    """How many of its steps a node has made. One that does not count them has one."""

    value: Annotated[float, msgspec.Meta(ge=0, le=1e9)] = 0
    max: Annotated[float, msgspec.Meta(ge=0, le=1e9)] = 0


class _Facts(_Steps, frozen=True):
    prompt_id: str = ""
    node: str | None = ""
    nodes: Mapping[str, _Steps] = {}


class _Message(msgspec.Struct, frozen=True):
    type: str = ""
    data: _Facts = _Facts()

    @property
    def ends(self) -> bool:
        return self.type == "executing" and self.data.node is None

    @property
    def progress(self) -> int | None:
        """0 to 100; None where it says nothing of that."""
        if self.type == "progress":
            return _share([self.data])
        return _share(self.data.nodes.values()) if self.type == "progress_state" else None


def _share(nodes: Iterable[_Steps]) -> int | None:
    counting = [node for node in nodes if node.max > 1]
    if not counting:
        return None
    return min(100, int(100 * sum(node.value for node in counting) / sum(node.max for node in counting)))


async def _heard(task: Pending, via: Channel) -> Pending:
    """The task, with its progress where the server tells of it within a moment."""
    client = task.state.get("client")
    if not client:
        return task
    request = via.request("GET", f"/ws?{urlencode({'clientId': client})}", headers=authorization(via))
    async with aclosing(via.http.messages(request, _LISTEN_S)) as messages:
        async for told in messages:
            message = _message(told)
            if message.data.prompt_id != task.upstream_id:
                continue
            if message.ends:
                return task
            if message.progress is not None:
                # Of several nodes that count steps, each begins anew.
                progress = max(message.progress, int(task.state.get("progress", "0")))
                return replace(task, state={**task.state, "progress": str(progress)})
    return task


def _message(told: object) -> _Message:
    try:
        return msgspec.convert(told, _Message)
    except msgspec.ValidationError:
        return _Message()


# -- errors --


def _check_success(ended: Mapping[str, object], via: Channel) -> None:
    """Raises Failed for a task that was stopped, or ran into an error, such as too little memory."""
    status = mapping(ended.get("status"))
    if status.get("status_str") != "error":
        return
    messages = status.get("messages")
    pairs = [pair for pair in messages if isinstance(pair, list)] if isinstance(messages, list) else []
    facts = {str(pair[0]): mapping(pair[1]) for pair in pairs if len(pair) == 2}
    if "execution_interrupted" in facts:
        # Somebody wanted this: nobody else shall be asked.
        raise Failed(f"the task was stopped at {via.name}", upstream_code="execution_interrupted")
    error = facts.get("execution_error", {})
    code = str(error.get("exception_type", ""))
    raise Failed(said(error.get("exception_message"), via), upstream_code=code, unbilled=True)


def _error(answer: Answer, via: Channel) -> PicturaError:
    """What is wrong with a workflow: the caller's fault only where an input of his is."""
    document = document_of(answer)
    error = mapping(document.get("error"))
    if answer.status != 400 or not error:
        return error_of(answer, via)
    for node in mapping(document.get("node_errors")).values():
        for wrong in items(mapping(node).get("errors")):
            param = _PARAMS.get(str(mapping(wrong.get("extra_info")).get("input_name")))
            message = said(f"{wrong.get('message')}: {wrong.get('details')}", via)
            if param:
                return BadRequest(message, param=param)
            return Rejected(message, upstream_status=400, upstream_code=str(wrong.get("type")), config=True)
    message = said(f"{error.get('message')}: {error.get('details')}", via)
    return Rejected(message, upstream_status=400, upstream_code=str(error.get("type")), config=True)
