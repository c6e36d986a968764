"""AUTOMATIC1111's and Forge's web UI with `--api --api-auth`, as their source code has it (2026-11-20, source code).

Its checks are few: a sampler that it knows, an image where one is worked on. Sides are cut to multiples of 8. A
checkpoint that it does not know (here: one with `missing` in its name, because the sandbox cannot know what a channel
calls its own) is passed over without a word. With `save_images` a grid stands before the pictures. Of the options it
tells the checkpoint alone, and takes none.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Annotated

import msgspec
from aiohttp import web

from pictura.core.errors import BadRequest
from pictura.core.picture import Inline
from pictura.infra.extract import Cut, find
from pictura.infra.spool import Spool
from pictura.infra.vips import vips
from pictura.sandbox.base import Visit, fails
from pictura.sandbox.chance import seed_from
from pictura.sandbox.draw import Scene
from pictura.sandbox.inputs import Input, look
from pictura.sandbox.local import FastApi, HttpError, Invalid, read

LOADED = "sandbox-v1"
FILE_BYTES = 50_000_000
MOST_INPUTS = 16
MOST_PICTURES = 16
FORMATS = ("png", "jpeg", "webp", "gif")
#: The server has no bounds; this is what the sandbox draws.
_SIDE = Annotated[int, msgspec.Meta(ge=8, le=8192)]

SAMPLERS = frozenset(
    {
        *("Euler", "Euler a", "LMS", "Heun", "DPM2", "DPM2 a", "DPM++ 2S a", "DPM++ 2M", "DPM++ SDE", "DPM++ 2M SDE"),
        *("DPM++ 2M SDE Heun", "DPM++ 3M SDE", "DPM fast", "DPM adaptive", "Restart", "DDIM", "DDIM CFG++", "PLMS"),
        *("UniPC", "LCM"),
    }
)


class Asked(msgspec.Struct, kw_only=True):
    """`StableDiffusionProcessingTxt2Img`, as far as it shows here."""

    prompt: str = ""
    negative_prompt: str | None = ""
    seed: int = -1
    steps: Annotated[int, msgspec.Meta(ge=1)] = 50
    cfg_scale: float = 7.0
    width: _SIDE = 512
    height: _SIDE = 512
    batch_size: Annotated[int, msgspec.Meta(ge=1)] = 1
    n_iter: Annotated[int, msgspec.Meta(ge=1)] = 1
    sampler_name: str | None = None
    sampler_index: str = "Euler"
    scheduler: str | None = None
    denoising_strength: float | None = None
    override_settings: Mapping[str, object] | None = None
    save_images: bool = False

    @property
    def model(self) -> str:
        """The name of the checkpoint that draws: the one that is loaded, where another is not known."""
        wanted = str((self.override_settings or {}).get("sd_model_checkpoint", ""))
        if not wanted or "missing" in wanted:
            return LOADED
        return wanted.partition(" [")[0].rpartition("/")[2].removesuffix(".safetensors")


class AskedEdit(Asked, kw_only=True):
    """`StableDiffusionProcessingImg2Img`, as far as it shows here."""

    init_images: list[str] | None = None
    mask: str | None = None
    denoising_strength: float | None = 0.75
    resize_mode: int = 0
    inpainting_fill: int = 0
    inpaint_full_res: bool = True
    inpainting_mask_invert: int = 0


class A1111(FastApi):
    """The API, below `/a1111/sdapi/v1`."""

    name = "a1111"

    def routes(self) -> Iterable[web.RouteDef]:
        return [
            web.post("/sdapi/v1/txt2img", self.answering(self._txt2img)),
            web.post("/sdapi/v1/img2img", self.answering(self._img2img)),
            web.get("/sdapi/v1/sd-models", self.answering(self._checkpoints)),
            web.get("/sdapi/v1/samplers", self.answering(self._samplers)),
            web.get("/sdapi/v1/options", self.answering(self._options)),
            self.lost(),
        ]

    def document(self, error: HttpError | Invalid) -> tuple[int, object]:
        if isinstance(error, Invalid):
            return 422, {"detail": error.detail}
        if error.status == 401:
            return 401, _error("HTTPException", "Incorrect username or password")
        return error.status, _error("HTTPException", error.detail)

    async def error(self, visit: Visit, status: int) -> web.StreamResponse:
        if status == 500:
            return await visit.send(_error("RuntimeError", errors="The prompt asked for this."), 500)
        return await super().error(visit, status)

    async def _checkpoints(self, visit: Visit) -> web.StreamResponse:
        file = f"{LOADED}.safetensors"
        told = {"title": file, "model_name": LOADED, "hash": None, "sha256": None, "filename": file, "config": None}
        return await visit.send([told])

    async def _samplers(self, visit: Visit) -> web.StreamResponse:
        return await visit.send([{"name": name, "aliases": [], "options": {}} for name in sorted(SAMPLERS)])

    async def _options(self, visit: Visit) -> web.StreamResponse:
        return await visit.send({"sd_model_checkpoint": f"{LOADED}.safetensors"})

    async def _txt2img(self, visit: Visit) -> web.StreamResponse:
        values, _ = await visit.json()
        return await self._answer(visit, read(values, Asked), None, None)

    async def _img2img(self, visit: Visit) -> web.StreamResponse:
        values, cuts = await visit.json(FILE_BYTES, MOST_INPUTS + 1, frozenset({"init_images", "mask"}))
        asked = read(values, AskedEdit)
        if not asked.init_images:
            raise HttpError(404, "Init image not found")
        images = [_decoded(value, cuts) for value in asked.init_images]
        if len(images) > asked.batch_size:
            text = f"bad number of images passed: {len(images)}; expecting {asked.batch_size} or less"
            return await visit.send(_error("RuntimeError", errors=text), 500)
        mask = None
        if asked.mask:
            mask = _repainted(_decoded(asked.mask, cuts).data, asked.inpainting_mask_invert)
        return await self._answer(visit, asked, images[0].data, mask)

    async def _answer(self, visit: Visit, asked: Asked, base: bytes | None, mask: bytes | None) -> web.StreamResponse:
        if (asked.sampler_name or asked.sampler_index) not in SAMPLERS:
            raise HttpError(400, "Sampler not found")
        if asked.n_iter * asked.batch_size > MOST_PICTURES:
            raise HttpError(400, f"the sandbox draws at most {MOST_PICTURES} pictures at once")
        if (trouble := await self.misbehave(visit, asked.prompt)) is not None:
            return trouble
        if fails(asked.prompt):
            return await visit.send(_error("OutOfMemoryError", errors="CUDA out of memory."), 500)
        scenes = _scenes(asked, base, mask)
        pictures = await self.paint(visit, scenes)
        # As the server has it while `grid_only_if_multiple` is on.
        grid = pictures[:1] if asked.save_images and len(pictures) > 1 else []
        return await visit.send(_document(asked, scenes, grid, pictures))


def _error(kind: str, detail: str = "", errors: str = "") -> dict[str, object]:
    return {"error": kind, "detail": detail, "body": "", "errors": errors}


def _decoded(value: str, cuts: Sequence[Cut]) -> Input:
    """A picture as a data URL, or as bare base64."""
    cut = find(value, cuts)
    try:
        if cut is None or cut.flaw:
            raise BadRequest("not base64")
        return look(cut.spool, FORMATS, FILE_BYTES)
    except BadRequest as error:
        raise HttpError(500, "Invalid encoded image") from error


def _repainted(data: bytes, invert: int) -> bytes:
    """Grey, white where it is repainted: the alpha of a mask that is transparent somewhere, else its brightness."""
    found = vips().Image.new_from_buffer(data, "").colourspace("srgb").cast("uchar")
    by_alpha = found.bands == 4 and found[3].min() < 255
    white = found[3] if by_alpha else found.extract_band(0, n=3).colourspace("b-w")
    made: bytes = (white.invert() if invert else white).write_to_buffer(".png", keep="none")
    return made


def _scenes(asked: Asked, base: bytes | None, mask: bytes | None) -> list[Scene]:
    first = Scene(
        model=asked.model,
        prompt=asked.prompt,
        width=asked.width // 8 * 8,
        height=asked.height // 8 * 8,
        label=f"{asked.steps} steps",
        base=base,
        mask=mask,
    )
    seed = seed_from(asked.prompt) if asked.seed == -1 else abs(asked.seed)
    count = asked.n_iter * asked.batch_size
    return [msgspec.structs.replace(first, seed=seed + index) for index in range(count)]


def _document(
    asked: Asked, scenes: Sequence[Scene], grid: Sequence[Spool], pictures: Sequence[Spool]
) -> dict[str, object]:
    info = {
        "prompt": asked.prompt,
        "seed": scenes[0].seed,
        "all_seeds": [scene.seed for scene in scenes],
        "width": scenes[0].width,
        "height": scenes[0].height,
        "sampler_name": asked.sampler_name or asked.sampler_index,
        "cfg_scale": asked.cfg_scale,
        "steps": asked.steps,
        "batch_size": asked.batch_size,
        "sd_model_name": asked.model,
        "sd_model_hash": f"{seed_from(asked.model):08x}",
        "denoising_strength": asked.denoising_strength,
        "index_of_first_image": len(grid),
    }
    parameters = {**msgspec.to_builtins(asked), "init_images": None, "mask": None}
    images = [Inline(picture) for picture in (*grid, *pictures)]
    return {"images": images, "parameters": parameters, "info": msgspec.json.encode(info).decode()}
