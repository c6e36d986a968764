"""AUTOMATIC1111's and Forge's web UI, started with --api: http://127.0.0.1:7860.

Wire facts: source code of stable-diffusion-webui and stable-diffusion-webui-forge (`modules/api`, `modules/processing`;
seen 2026-11-20, confidence: source code).

    POST /sdapi/v1/txt2img   JSON: prompt, negative_prompt, seed -1, steps 50, cfg_scale 7, width 512, height 512,
                             sampler_name, scheduler, batch_size, n_iter, override_settings {sd_model_checkpoint}
    POST /sdapi/v1/img2img   … and init_images [base64], mask (white = repainted), denoising_strength 0.75, resize_mode,
                             inpainting_fill, inpaint_full_res
    → {"images": [base64], "parameters", "info": a text that is JSON: all_seeds, index_of_first_image, sd_model_name, …}
    → 4xx {"detail"}, 500 {"error", "detail", "body", "errors"}

It answers at once, and draws one request after the other. `/interrupt` stops whatever is being drawn, be it another
client's, so nothing is taken back here. A checkpoint it does not know it passes over without a word, and draws with
the one that is loaded. The format is a setting of the server (`samples_format`, PNG by default).
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import zip_longest

import msgspec

from pictura.core.errors import Malformed, Rejected
from pictura.core.model import Source, Span, Words
from pictura.infra.http import Answer
from pictura.infra.payload import json_payload
from pictura.providers.answers import close_unused, closed_on_error, mapping, picture, said
from pictura.providers.base import Ask, Channel, Done
from pictura.providers.local import Engine, authorization, card, chosen, edit_size, error_of, send
from pictura.providers.masks import white_where_edited

_CODE = Source("source code of AUTOMATIC1111 and Forge", "2026-11-20", "source code")

_STEP = 8
_WORDS = {"guidance_scale": "cfg_scale", "strength": "denoising_strength"}
#: Cut to the size asked for, where the default would distort.
_CROP_AND_RESIZE = 1
#: As the web UI has it: start from what is there, and keep the whole picture in view. The API's defaults are others.
_INPAINTING = {"inpainting_fill": 1, "inpaint_full_res": False}


class A1111(Engine):
    """Stable Diffusion web UI, https://github.com/AUTOMATIC1111/stable-diffusion-webui, and Forge. For `--api-auth`
    the channel's `secrets` hold `username` and `password`."""

    name = "a1111"
    base_url = "http://127.0.0.1:7860"
    # It has no variable of its own; this is Open WebUI's (third party).
    base_url_env = "AUTOMATIC1111_BASE_URL"
    sandbox_path = "/a1111"
    MODELS = (
        card(
            "local-a1111",
            _CODE,
            "The checkpoint that is loaded; a channel names others by title.",
            step=_STEP,
            pictures=1,
            default_size="512x512",
            prompt="optional",
            options={
                "seed": Span(-1, 2**32 - 1, default=-1),
                "steps": Span(1, 150, default=50),
                "guidance_scale": Span(0, 30, whole=False, default=7),
                "strength": Span(0, 1, whole=False, default=0.75),
                "sampler_name": Words(100),
                "scheduler": Words(100),
            },
        ),
    )

    async def start(self, ask: Ask, via: Channel) -> Done:
        path, fields = "/sdapi/v1/txt2img", self._fields(ask)
        if ask.images:
            path, fields = "/sdapi/v1/img2img", {**fields, **await _edit(ask)}
        keys = frozenset({"images"})
        request = via.request("POST", path, headers=authorization(via), body=json_payload(fields), picture_keys=keys)
        answer = await send(request, via)
        with closed_on_error(answer):
            return self._done(answer, ask, via)

    def _fields(self, ask: Ask) -> dict[str, object]:
        # One after the other, not in one batch: memory for one picture is enough.
        fields: dict[str, object] = {"prompt": ask.prompt, "n_iter": ask.n, **chosen(ask, _WORDS)}
        if ask.size.width:
            fields |= {"width": ask.size.width, "height": ask.size.height}
        if checkpoint := self.named(ask):
            fields["override_settings"] = {"sd_model_checkpoint": checkpoint}
        return fields

    def _done(self, answer: Answer, ask: Ask, via: Channel) -> Done:
        if answer.status != 200:
            raise error_of(answer, via)
        document = mapping(answer.json())
        info = _read_info(document.get("info"))
        if info.drew_with_another(self.named(ask)):
            message = f"{via.name} has no checkpoint {ask.native!r}, and drew with {info.sd_model_name!r}"
            raise Rejected(said(message, via), upstream_status=answer.status, config=True)
        values = document.get("images")
        # Before the pictures may stand a grid of them, and behind them what extensions add.
        wanted = values[info.index_of_first_image :][: ask.n] if isinstance(values, list) else []
        told = zip_longest(wanted, info.all_seeds[: len(wanted)])
        raws = tuple(raw for value, seed in told if (raw := picture([value], answer.pictures, seed=seed)))
        if not raws:
            raise Malformed(f"{via.name} answered without a picture", upstream_status=answer.status, unbilled=True)
        close_unused(answer.pictures, raws)
        return Done(pictures=raws)


async def _edit(ask: Ask) -> Mapping[str, object]:
    size, first = edit_size(ask, _STEP), ask.images[0]
    fields: dict[str, object] = {
        "init_images": [first.data_url],
        "width": size.width,
        "height": size.height,
        "resize_mode": _CROP_AND_RESIZE,
    }
    if ask.mask:
        fields |= {"mask": (await white_where_edited(ask.mask)).data_url, **_INPAINTING}
    return fields


class _Info(msgspec.Struct, frozen=True):
    """What the server says about its pictures; versions differ in what they tell."""

    all_seeds: list[int] = []
    index_of_first_image: int = 0
    sd_model_name: str | None = None
    sd_model_hash: str | None = None

    def drew_with_another(self, checkpoint: str) -> bool:
        """A title is `folder/name.safetensors [hash]`, and every part of it a name by which the server knows it."""
        told = [mark for mark in (self.sd_model_name, self.sd_model_hash) if mark]
        return bool(checkpoint and told) and not any(mark in checkpoint for mark in told)


def _read_info(text: object) -> _Info:
    """A picture is worth more than what is said about it."""
    try:
        return msgspec.json.decode(text if isinstance(text, str) else "", type=_Info)
    except msgspec.DecodeError:
        return _Info()
