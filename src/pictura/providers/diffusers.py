"""Hugging Face's diffusers: pipelines in this very process, one picture after the other, in a thread.

Facts: source code of diffusers 0.42.1 (2026-11-20, confidence: source code).

    DiffusionPipeline.from_pretrained(repository or folder, torch_dtype, token)
    AutoPipelineForText2Image, …Image2Image, …Inpainting.from_pipe(pipeline): the same weights for another task
    pipeline(prompt, image?, mask_image?, width?, height?, num_inference_steps, num_images_per_prompt, generator,
             callback_on_step_end(pipeline, step, timestep, tensors) → tensors) → .images, .nsfw_content_detected?

Pipelines differ in what they take: `__call__`'s parameters say it. Those with `strength` start from the picture's own
pixels, so they are given it in the size that is drawn; the others look at it as it is. A mask is white where it is
repainted. torch and diffusers are an extra, `pictura[diffusers]`, and are imported when the first picture is asked for.
"""

from __future__ import annotations

import asyncio
import importlib
import inspect
import io
import random
import secrets
from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, ClassVar

from msgspec.structs import replace

from pictura.core.errors import BadRequest, Failed, Refused, Rejected, Unsupported
from pictura.core.model import Source, Span
from pictura.core.size import Size
from pictura.providers.answers import said
from pictura.providers.base import Ask, AskPicture, CancellingProvider, Channel, Done, Pending, Raw
from pictura.providers.local import Engine, card, chosen, edit_size
from pictura.providers.masks import white_where_edited

_CODE = Source("source code of diffusers 0.42.1", "2026-11-20", "source code")

_STEP = 16
_WORDS = {"steps": "num_inference_steps"}


class Diffusers(Engine, CancellingProvider):
    """diffusers, https://huggingface.co/docs/diffusers, in this process. A channel names its pipelines by repository or
    folder; `api_key` is a token for repositories that want one."""

    name = "diffusers"
    optional_env: ClassVar[Mapping[str, str]] = {"api_key": "HF_TOKEN"}
    MODELS = (
        card(
            "local-diffusers",
            _CODE,
            "A channel names the pipelines. What one takes beside is its own affair, and is said when it is asked.",
            step=_STEP,
            pictures=16,
            options={
                "steps": Span(1, 200),
                "guidance_scale": Span(0, 100, whole=False),
                "true_cfg_scale": Span(0, 100, whole=False),
                "strength": Span(0, 1, whole=False),
            },
        ),
    )

    def __init__(self) -> None:
        self._hand = ThreadPoolExecutor(1, "diffusers")
        self._works: dict[str, _Work] = {}
        #: The pipeline that was used last, by its name: there is memory for one.
        self._loaded: tuple[str, Any] = ("", None)

    async def start(self, ask: Ask, via: Channel) -> Pending:
        if ask.mask:
            ask = replace(ask, mask=await white_where_edited(ask.mask))
        work = _Work()
        work.outcome = self._hand.submit(self._draw, ask, via, work)
        try:  # a pipeline that cannot be had is told of now, while another channel may be asked
            await asyncio.shield(asyncio.wrap_future(work.loaded))
        except asyncio.CancelledError:
            work.stop()
            raise
        id = secrets.token_hex(8)
        self._works[id] = work
        return Pending(upstream_id=id, poll_after_s=0.5)

    async def check(self, task: Pending, via: Channel) -> Done | Pending:
        work = self._works.get(task.upstream_id)
        if work is None:
            raise Failed("the task was stopped, or this gateway was started anew since", unbilled=True)
        if not work.outcome.done():
            return replace(task, state={"progress": str(work.progress)})
        del self._works[task.upstream_id]
        return work.outcome.result()

    async def cancel(self, task: Pending, via: Channel) -> None:
        work = self._works.pop(task.upstream_id, None)
        if work is not None:
            work.stop()

    def _draw(self, ask: Ask, via: Channel, work: _Work) -> Done:
        """In the thread: load, and paint."""
        try:
            pipeline = self._pipeline(self.named(ask), via)
        except BaseException as error:
            work.loaded.set_exception(error)
            raise
        work.loaded.set_result(None)
        return _paint(_suited(pipeline, ask), ask, via, work)

    def _pipeline(self, name: str, via: Channel) -> Any:
        """Raises Rejected for one that cannot be had."""
        if not name:
            message = 'no pipeline is named; write models = {"my-model" = "owner/repository"} into the channel'
            raise Rejected(message, config=True)
        if self._loaded[0] != name:
            self._loaded = ("", None)  # room for the next
            self._loaded = (name, _load(name, via))
        return self._loaded[1]


class _Stopped(Exception):
    """Raised between two steps."""


class _Work:
    """One drawing, shared by the thread that paints and those who ask about it."""

    def __init__(self) -> None:
        self.loaded: Future[None] = Future()
        self.outcome: Future[Done] = Future()
        #: In percent.
        self.progress = 0
        self._stopped = False

    def stop(self) -> None:
        """After the step that is being made; nobody will ask for the pictures."""
        self._stopped = True
        self.outcome.add_done_callback(_close)

    def after_step(self, pipeline: Any, step: int, _timestep: object, tensors: object) -> object:
        """diffusers' `callback_on_step_end`."""
        if self._stopped:
            raise _Stopped
        self.progress = min(99, 100 * (step + 1) // max(1, getattr(pipeline, "num_timesteps", 1)))
        return tensors


def _close(outcome: Future[Done]) -> None:
    """Nobody wants these pictures any more."""
    if outcome.exception() is None:
        for raw in outcome.result().pictures:
            if raw.spool is not None:
                raw.spool.close()


# -- in the thread; the libraries' types are not known to us --


def _library(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except ImportError as error:
        message = f"{error.name or name} is not installed; install the extra: pip install 'pictura[diffusers]'"
        raise Rejected(message, config=True) from error


def _load(name: str, via: Channel) -> Any:
    torch, diffusers = _library("torch"), _library("diffusers")
    device, precision = _device(torch)
    token = via.secrets.get("api_key")
    try:
        pipeline = diffusers.DiffusionPipeline.from_pretrained(name, torch_dtype=precision, token=token)
        pipeline = pipeline.to(device)
    except Exception as error:  # of the hub, of the network, of a folder's files, of memory
        raise Rejected(f"{name} cannot be loaded: {said(str(error), via)}", config=True) from error
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def _device(torch: Any) -> tuple[str, Any]:
    """Where it is drawn, and with which numbers."""
    if torch.cuda.is_available():
        return "cuda", torch.bfloat16 if torch.cuda.is_bf16_supported() else torch.float16
    if torch.backends.mps.is_available():
        return "mps", torch.float16
    return "cpu", torch.float32


def _takes(pipeline: Any) -> Mapping[str, object]:
    return inspect.signature(pipeline.__call__).parameters


def _suited(pipeline: Any, ask: Ask) -> Any:
    """The pipeline itself where it does what is asked for, else its kin with the same weights."""
    takes, diffusers = _takes(pipeline), _library("diffusers")
    if ask.mask:
        kin = None if "mask_image" in takes else diffusers.AutoPipelineForInpainting
    elif ask.images:
        kin = None if "image" in takes and "mask_image" not in takes else diffusers.AutoPipelineForImage2Image
    else:
        kin = None if "strength" not in takes else diffusers.AutoPipelineForText2Image
    try:
        return kin.from_pipe(pipeline) if kin else pipeline
    except ValueError as error:
        raise Unsupported("this pipeline does not edit; leave pictures and mask out", param="image") from error


def _paint(pipeline: Any, ask: Ask, via: Channel, work: _Work) -> Done:
    asked = ask.params.get("seed")
    first = asked if isinstance(asked, int) else random.getrandbits(32)
    seeds = range(first, first + ask.n)
    try:
        drawn = pipeline(**_call(pipeline, ask, seeds, work))
    except _Stopped:
        raise Failed("the task was stopped") from None
    except (TypeError, ValueError) as error:  # it is with these that pipelines check their inputs
        raise BadRequest(said(str(error), via)) from error
    except RuntimeError as error:  # too little memory, above all
        raise Failed(said(str(error), via), unbilled=True) from error
    flags = getattr(drawn, "nsfw_content_detected", None) or [False] * len(drawn.images)
    kept = [(image, seed) for image, seed, bad in zip(drawn.images, seeds, flags, strict=False) if not bad]
    if not kept:
        raise Refused("the pipeline's safety checker kept its pictures back", reason="nsfw", by=Diffusers.name)
    return Done(pictures=tuple(_raw(image, seed, via) for image, seed in kept))


def _call(pipeline: Any, ask: Ask, seeds: range, work: _Work) -> dict[str, object]:
    """The pipeline's arguments. Raises Unsupported for an option that it does not have."""
    takes, torch = _takes(pipeline), _library("torch")
    options = chosen(ask, _WORDS)
    strange = [name for name in ask.params if _WORDS.get(name, name) in options.keys() - takes.keys() - {"seed"}]
    if strange:
        raise Unsupported(f"this pipeline does not take {strange[0]}; leave it out", param=strange[0])
    options.pop("seed", None)
    call = {"prompt": ask.prompt, "num_images_per_prompt": ask.n, **options}
    call["generator"] = [torch.Generator().manual_seed(seed) for seed in seeds]
    starts_from_pixels = bool(ask.images) and "strength" in takes
    size = edit_size(ask, _STEP) if starts_from_pixels else ask.size
    if size.width:
        call |= {"width": size.width, "height": size.height}
    shown = [_opened(image, size if starts_from_pixels else None) for image in ask.images]
    if shown:
        call["image"] = shown if len(shown) > 1 else shown[0]
    if ask.mask:
        call["mask_image"] = _opened(ask.mask, size)
    call["callback_on_step_end"] = work.after_step
    return {name: value for name, value in call.items() if name in takes}


def _opened(picture: AskPicture, size: Size | None) -> Any:
    """As Pillow has it, cut to `size`."""
    pillow, ops = _library("PIL.Image"), _library("PIL.ImageOps")
    opened = ops.exif_transpose(pillow.open(io.BytesIO(picture.source.read()))).convert("RGB")
    return ops.fit(opened, (size.width, size.height)) if size else opened


def _raw(image: Any, seed: int, via: Channel) -> Raw:
    encoded = io.BytesIO()
    image.save(encoded, "png")
    spool = via.http.spool()
    spool.write(encoded.getbuffer())
    return Raw(spool=spool, seed=seed)
