"""Tencent TokenHub's pictures, as strict as the vendor: https://cloud.tencent.com/document/product/1823/135745.

The tables here are the vendor's side of the contract, and deliberately not our cards: where a card is wrong, this
refuses. They follow Tencent Cloud's pages 1823/135745 (pictures), 1823/136578 (panorama) and 1823/131595 (errors), seen
2026-11-20, and CloudBase's page on the same 3.5 model (documented). The 3.5 answer, its error frame with status 200 and
its rounding to multiples of 16: calls that others tried (2026-09, third party). Path and answer of the panorama are
inferred.

Not as at the vendor: 3.5 is said to clamp a size outside its window in silence; here it is refused, as documented. The
panorama takes data URLs too, of which its page does not speak.
"""

from __future__ import annotations

import re
import secrets
import time
import uuid
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from functools import partial

import msgspec
from aiohttp import web
from aiohttp.typedefs import Handler

from pictura.core.errors import BadRequest
from pictura.infra.extract import Cut
from pictura.sandbox.base import Vendor, VendorError, Visit, fails, refused, refused_late
from pictura.sandbox.chance import seed_from
from pictura.sandbox.draw import Scene
from pictura.sandbox.fields import Fields, Wrong
from pictura.sandbox.inputs import Input, shown

# -- the vendor's table --


class Window(msgspec.Struct, frozen=True, kw_only=True):
    """Sizes that can be asked for; other sides than multiples of `step` are rounded down."""

    edges: tuple[int, int]
    most_pixels: int
    step: int = 1


class Pictures(msgspec.Struct, frozen=True, kw_only=True):
    most: int
    most_bytes: int
    formats: tuple[str, ...] = ("png", "jpeg")


IMAGE_3, IMAGE_3_5, PANORAMA = "hy-image-v3", "hy-image-v3.5-preview", "hy-world2-panorama"
WINDOW_3 = Window(edges=(512, 2048), most_pixels=1024 * 1024)
WINDOW_3_5 = Window(edges=(256, 8192), most_pixels=4096 * 4096, step=16)
PICTURES_3 = Pictures(most=3, most_bytes=10_000_000)
PICTURES_3_5 = Pictures(most=20, most_bytes=20_000_000, formats=("png", "jpeg", "webp"))
PICTURES_PANORAMA = Pictures(most=1, most_bytes=10_000_000, formats=("jpeg", "png", "webp"))
PROMPT_CHARS_3, PROMPT_CHARS_PANORAMA, FOOTNOTE_CHARS = 8192, 600, 16
LEAST_PANORAMA_SIDE = 512
#: An equirectangular picture; its pixels at the vendor are not established, these are those of the open model.
PANORAMA_SIZE = (1920, 960)
#: What 3.5 chooses where no size is asked for.
OWN_SIZE_3_5 = (1536, 1536)
#: Up to 2048x2048, and beyond.
TOKENS_3_5 = (15_000, 20_000)


# -- errors --


class ApiError(VendorError):
    def __init__(self, status: int, type: str, code: str, message: str) -> None:
        super().__init__(status, {"type": type, "code": code, "message": message, "source": "gateway"}, message)


def _invalid(message: str) -> ApiError:
    return ApiError(400, "invalid_request_error", "400001", message)


_TROUBLES: Mapping[int, tuple[str, str, str]] = {
    401: ("authentication_error", "401002", "invalid api key"),
    402: ("permission_error", "403004", "endpoint is inactive: FREE_QUOTA_EXHAUSTED"),
    429: ("rate_limit_error", "429001", "rate limit exceeded on dimension: rpm"),
    # This status is not on the page; the type is that of its neighbours.
    500: ("upstream_error", "500001", "the provider returned an error"),
}


def _trouble(status: int) -> ApiError:
    return ApiError(status, *_TROUBLES[status])


# -- what is asked --


class Asked(msgspec.Struct, kw_only=True):
    """A request that has passed."""

    model: str
    prompt: str
    size: tuple[int, int]
    inputs: Sequence[Input] = ()
    seed: int | None = None
    revise: bool = False

    @property
    def scene(self) -> Scene:
        return Scene(
            model=self.model,
            prompt=self.prompt,
            width=self.size[0],
            height=self.size[1],
            seed=self.seed if self.seed is not None else seed_from(self.model, self.prompt),
            base=self.inputs[0].data if self.inputs else None,
        )


def read_size(fields: Fields, window: Window, own: tuple[int, int]) -> tuple[int, int]:
    text = fields.text("size")
    if not text:
        return own
    found = re.fullmatch(r"(\d{1,5})x(\d{1,5})", text)
    if found is None:
        raise _invalid("invalid parameter 'size': it must be WIDTHxHEIGHT")
    width, height = int(found[1]), int(found[2])
    low, high = window.edges
    if min(width, height) < low or max(width, height) > high or width * height > window.most_pixels:
        raise _invalid(f"invalid parameter 'size': sides are {low} to {high}, the area at most {window.most_pixels}")
    return width // window.step * window.step, height // window.step * window.step


def read_seed(fields: Fields) -> int | None:
    return fields.whole("seed", 1, 2**32 - 1)


def read_content(messages: Sequence[Fields]) -> tuple[str, list[object]]:
    """Text and pictures of the last message by the user; earlier ones are history, and stay unread."""
    spoken = [(message.word("role", ("system", "user", "assistant", "tool")), message) for message in messages]
    last = next((message for role, message in reversed(spoken) if role == "user"), None)
    if last is None:
        raise _invalid("invalid parameter 'messages': no message is the user's")
    texts: list[str] = []
    pictures: list[object] = []
    for part in last.objects("content", least=1, most=100):
        if part.word("type", ("text", "image_url")) == "text":
            texts.append(part.text("text"))
        else:
            url = part.inside("image_url", required=True)
            pictures.append(url.anything("url"))
            url.refuse_rest()
        part.refuse_rest()
    last.refuse_rest()
    if not "".join(texts).strip():
        raise _invalid("invalid parameter 'messages': a text is required")
    return "\n".join(texts), pictures


# -- the simulator --

Reader = Callable[[Fields, Sequence[Cut]], Awaitable[Asked]]
Teller = Callable[[Asked, str], Mapping[str, object]]


class TencentTokenHub(Vendor):
    """Three models, each below its own path of `/tencent-tokenhub/v1/wand`."""

    name = "tencent-tokenhub"

    def routes(self) -> Iterable[web.RouteDef]:
        return [
            web.post("/v1/wand/hunyuan-image/v3-generation", self._drawing(IMAGE_3, self._read_3, _told_3)),
            web.post("/v1/wand/hunyuan-image/v35-generation", self._drawing(IMAGE_3_5, self._read_3_5, _told_3_5)),
            web.post("/v1/wand/hunyuan-video/world2-panorama", self._drawing(PANORAMA, self._read_panorama, _told_3)),
        ]

    def _drawing(self, model: str, read: Reader, tell: Teller) -> Handler:
        return self.answering(partial(self._answer, model, read, tell))

    def own_error(self, status: int) -> ApiError:
        return _trouble(status)

    def translated(self, error: BadRequest) -> ApiError:
        if isinstance(error, Wrong):
            return _invalid(f"invalid parameter '{error.field}': {error.message}")
        return _invalid(error.message)

    async def tell(self, visit: Visit, error: VendorError) -> web.StreamResponse:
        return await visit.send({"error": {**error.document, "request_id": str(uuid.uuid4())}}, error.status)

    async def _answer(self, model: str, read: Reader, tell: Teller, visit: Visit) -> web.StreamResponse:
        values, cuts = await visit.json(PICTURES_3_5.most_bytes, PICTURES_3_5.most)
        fields = Fields(values)
        if fields.text("model", required=True) != model:
            raise ApiError(400, "invalid_request_error", "400004", "The model or service ID does not exist")
        asked = await read(fields, cuts)
        fields.refuse_rest()
        if refused(asked.prompt):
            raise ApiError(451, "content_filter_error", "451001", "content was filtered by safety policy")
        if (trouble := await self.misbehave(visit, asked.prompt)) is not None:
            return trouble
        if refused_late(asked.prompt):
            return await visit.send(_late_refusal())
        if fails(asked.prompt):
            raise ApiError(502, "upstream_error", "502001", "the model failed")
        return await self._draw(visit, asked, tell)

    async def _draw(self, visit: Visit, asked: Asked, tell: Teller) -> web.StreamResponse:
        pictures = await self.paint(visit, [asked.scene])
        told: Mapping[str, object] = {"data": [], "choices": []}
        for picture in pictures:
            told = tell(asked, self.hosted(picture, asked.prompt))
        ids = {"id": f"1300000000-WandImage-{secrets.token_hex(8)}", "request_id": str(uuid.uuid4())}
        return await visit.send({**ids, "created": int(time.time()), **told})

    async def _read_3(self, fields: Fields, cuts: Sequence[Cut]) -> Asked:
        prompt = fields.text("prompt", most_chars=PROMPT_CHARS_3, required=True)
        fields.text("footnote", most_chars=FOOTNOTE_CHARS)
        return Asked(
            model=IMAGE_3,
            prompt=prompt,
            size=read_size(fields, WINDOW_3, (1024, 1024)),
            inputs=await self._shown(fields.list("images", most=PICTURES_3.most), cuts, PICTURES_3),
            seed=read_seed(fields),
            revise=fields.flag("revise"),
        )

    async def _read_3_5(self, fields: Fields, cuts: Sequence[Cut]) -> Asked:
        prompt, pictures = read_content(fields.objects("messages", least=1))
        fields.text("footnote", most_chars=FOOTNOTE_CHARS)
        fields.text("session")
        fields.flag("use_search_tool")
        for area in ("generate_max_pixels", "resize_max_pixels"):
            fields.whole(area, 1, WINDOW_3_5.most_pixels)
        if len(pictures) > PICTURES_3_5.most:
            raise _invalid(f"invalid parameter 'messages': at most {PICTURES_3_5.most} pictures are taken")
        return Asked(
            model=IMAGE_3_5,
            prompt=prompt,
            size=read_size(fields, WINDOW_3_5, OWN_SIZE_3_5),
            inputs=await self._shown(pictures, cuts, PICTURES_3_5),
            seed=read_seed(fields),
        )

    async def _read_panorama(self, fields: Fields, cuts: Sequence[Cut]) -> Asked:
        prompt = fields.text("prompt", most_chars=PROMPT_CHARS_PANORAMA)
        url = fields.anything("image_url")
        if bool(prompt.strip()) == (url is not None):
            raise _invalid("either 'prompt' or 'image_url' must be given, not both")
        inputs = await self._shown([] if url is None else [url], cuts, PICTURES_PANORAMA)
        for input in inputs:
            if min(input.media.width, input.media.height) < LEAST_PANORAMA_SIDE:
                raise _invalid(f"invalid parameter 'image_url': a side has less than {LEAST_PANORAMA_SIDE} pixels")
        return Asked(model=PANORAMA, prompt=prompt, size=PANORAMA_SIZE, inputs=inputs)

    async def _shown(self, values: Sequence[object], cuts: Sequence[Cut], taken: Pictures) -> list[Input]:
        return [await shown(value, cuts, self.studio, taken.formats, taken.most_bytes) for value in values]


def _told_3(asked: Asked, url: str) -> Mapping[str, object]:
    revised = f"{asked.prompt} (as painted in the sandbox)" if asked.revise else asked.prompt
    return {"data": [{"url": url, "revised_prompt": revised}]}


def _told_3_5(asked: Asked, url: str) -> Mapping[str, object]:
    width, height = asked.size
    image = {"url": url, "width": width, "height": height, "source": "generate"}
    tokens = TOKENS_3_5[width * height > 2048 * 2048]
    return {
        "object": "image.chat.completion.chunk",
        "choices": [{"index": 0, "delta": {"type": "image", "image": image}, "finish_reason": "stop"}],
        "tokenhub_usage": {"total_tokens": tokens},
    }


def _late_refusal() -> Mapping[str, object]:
    return {
        "choices": [{"index": 0, "delta": {}, "finish_reason": "error"}],
        "error": {"type": "invalid_request_error", "code": "content_filter", "message": "output moderation rejected"},
    }
