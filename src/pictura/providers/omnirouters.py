"""OmniRouters' Omni-Image, https://omnirouters.com: other makers' models by task id.

    POST /images/generations?async=true   JSON {"model", "prompt", "resolution", "aspect_ratio", "images": [URL],
                                                "quality", "n", "input_region"}
    GET  /images/generations/{task_id}
    → {"task_id", "status": "queued" | "in_progress" | "completed" | "failed" | "unknown",
       "data": [{"url", "b64_json", "revised_prompt"}], "error": {"code"?, "message"}}
    → 4xx, 5xx new-api's errors; {"code": "task_not_exist", "message", "data": null} for a task that nobody knows

Wire facts: its page (2026-02, documented) for fields and paths; the public fork it runs on (2026-05, read in source)
for the words of a task's state and for its errors. What fails is refunded. Pictures are asked for by URL; that a data
URL goes in a URL's place is an inference. There is no mask and no cancel.

Behind it stands Tencent VOD (inferred: the words are VOD's own), so the cards follow those of VOD.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import nullcontext
from typing import ClassVar
from urllib.parse import quote

from msgspec.structs import replace

from pictura.core.errors import Failed, Lost, Malformed, PicturaError, Rejected
from pictura.core.model import Choice, Descriptor, Inputs, ModelCard, Source
from pictura.core.picture import Inline
from pictura.core.request import REGIONS
from pictura.core.size import OwnSize, Shapes, Size
from pictura.infra.http import Answer
from pictura.infra.payload import Payload, json_payload
from pictura.providers.answers import closed_on_error, mapping, question, said, task_id
from pictura.providers.base import Ask, AskPicture, Channel, Done, Pending, TaskProvider
from pictura.providers.new_api import NewApiWire
from pictura.providers.sizes import in_words

_PAGE = Source("OmniRouters' page of Omni-Image", "2026-02-01", "documented; limits are Tencent VOD's, inferred")
_UNPRICED = "What it costs is told in OmniRouters' console alone."

_REGION: dict[str, Descriptor] = {"input_region": Choice(REGIONS)}
_ASPECTS = ("1:1", "2:3", "3:2", "3:4", "4:3", "9:16", "16:9", "21:9")
_TIERS = ("1K", "2K", "4K")

_BANANA = ModelCard(
    id="omnirouters-nano-banana2",
    native="omnirouters/Nano-Banana2",
    released=_PAGE.date,
    modes=("generate", "edit"),
    sizes=Shapes(aspects=_ASPECTS, tiers=_TIERS),
    inputs=Inputs(count=14, max_bytes=7_000_000),
    outputs=("jpeg",),
    params=_REGION,
    source=_PAGE,
    notes=f"gemini-3.1-flash-image. {_UNPRICED}",
)


class OmniRouters(NewApiWire, TaskProvider):
    """OmniRouters. Answers by task id."""

    name = "omnirouters"
    base_url = "https://omnirouters.com/v1"
    env: ClassVar = {"api_key": "OMNIROUTERS_API_KEY"}
    sandbox_path = "/omnirouters/v1"
    marker = "omnirouters/"
    masks = False
    SERVES: ClassVar = {
        "gemini-3.1-flash-image": "omnirouters-nano-banana2",
        "gpt-image-2": "omnirouters-gpt-image-2",
        "kling-v3-omni": "omnirouters-kling-3.0-omni",
        "seedream-4.5": "omnirouters-seedream-4.5",
        "hunyuan-panorama-2.0": "omnirouters-hunyuan-panorama-2.0",
    }
    MODELS = (
        _BANANA,
        replace(
            _BANANA,
            id="omnirouters-gpt-image-2",
            native="omnirouters/GPT-image-2",
            max_n=8,
            inputs=Inputs(count=16, max_bytes=7_000_000),
            params={**_REGION, "quality": Choice(("low", "medium", "high"))},
            notes=f"gpt-image-2. {_UNPRICED}",
        ),
        replace(
            _BANANA,
            id="omnirouters-kling-3.0-omni",
            native="omnirouters/Kling:3.0-omni",
            max_n=9,
            inputs=Inputs(count=10, max_bytes=7_000_000),
            notes=f"kling-v3-omni. {_UNPRICED}",
        ),
        replace(
            _BANANA,
            id="omnirouters-seedream-4.5",
            native="omnirouters/Seedream:4.5",
            sizes=Shapes(tiers=("2K", "4K")),
            max_n=9,
            notes=f"seedream-4.5; takes no aspect: write it into the prompt. {_UNPRICED}",
        ),
        replace(
            _BANANA,
            id="omnirouters-hunyuan-panorama-2.0",
            native="omnirouters/Hunyuan-3d-2.0",
            modes=("generate",),
            sizes=OwnSize(),
            inputs=Inputs(),
            params={},
            notes=f"hunyuan-panorama-2.0: a panorama of 360°, a picture and no mesh. {_UNPRICED}",
        ),
    )

    async def start(self, ask: Ask, via: Channel) -> Done | Pending:
        return self._outcome(await via.http.send(self.request(ask, via, self.fields(ask))), via, None)

    async def check(self, task: Pending, via: Channel) -> Done | Pending:
        place = f"{_PATH}/{quote(task.upstream_id, safe='')}"
        request = via.request("GET", place, headers=self.headers(via), picture_keys=frozenset({"b64_json"}))
        answer = await via.http.send(replace(request, data_urls=True))
        with question(answer) if answer.status >= 300 else nullcontext():
            return self._outcome(answer, via, task)

    def place(self, ask: Ask, via: Channel) -> str:
        return f"{_PATH}?async=true"

    def fields(self, ask: Ask) -> dict[str, object]:
        """A format is not asked for: the page knows none, and the house turns what comes into it."""
        region = ask.params.get("input_region")
        return {
            "model": self.model(ask),
            "prompt": ask.prompt,
            "n": ask.n,
            **self.size(ask.size),
            **self.options(ask),
            **({"input_region": region} if region else {}),
        }

    def size(self, size: Size) -> Mapping[str, object]:
        return super().size(in_words(size) if size.width else replace(size, tier=size.tier.upper()))

    def body(self, ask: Ask, fields: Mapping[str, object]) -> Payload:
        images = {"images": [_shown(image) for image in ask.images]} if ask.images else {}
        return json_payload({**fields, **images})

    def verdict(
        self, document: Mapping[str, object], status: int, via: Channel, retry_after_s: int | None = None
    ) -> PicturaError:
        if document.get("code") == _NO_TASK:
            return Failed(said(document.get("message"), via), upstream_status=status, upstream_code=_NO_TASK)
        return super().verdict(document, status, via, retry_after_s)

    def _outcome(self, answer: Answer, via: Channel, task: Pending | None) -> Done | Pending:
        """Where the task stands; `task` is None while there is none yet."""
        if answer.status >= 300:
            return self.done(answer, via)
        with closed_on_error(answer):
            document = _read(answer, task)
            status = str(document.get("status", "")).lower()
            if status in _FAILED:
                raise self._failure(document, via)
        task = task or _begun(document)
        if task is None or status in _COMPLETED or document.get("data"):
            return self.done(answer, via)
        answer.close()
        return task

    def _failure(self, document: Mapping[str, object], via: Channel) -> PicturaError:
        error = self.verdict(document, 200, via)
        if not isinstance(error, Rejected):
            return error
        # A no before work began is what it was not: the engine would ask on and on.
        return Failed(error.message, upstream_code=error.upstream_code, config=error.config, unbilled=True)


_PATH = "/images/generations"
_NO_TASK = "task_not_exist"
#: As long as the page advises.
POLL_S = 5.0
#: The fork's own words, and those that it hands on from elsewhere.
_COMPLETED = frozenset({"completed", "complete", "succeeded", "success", "finished"})
_FAILED = frozenset({"failed", "failure", "error", "cancelled", "canceled"})


def _read(answer: Answer, task: Pending | None) -> Mapping[str, object]:
    try:
        return mapping(answer.json())
    except Malformed as error:
        if task is None:
            raise
        # The question failed, and the task goes on: the engine asks again.
        raise Lost(error.message, upstream_status=answer.status) from error


def _begun(document: Mapping[str, object]) -> Pending | None:
    id = task_id(document.get("task_id")) or task_id(document.get("id"))
    return Pending(upstream_id=id, poll_after_s=POLL_S) if id else None


def _shown(image: AskPicture) -> str | Inline:
    return image.url or image.data_url
