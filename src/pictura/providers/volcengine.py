"""ByteDance Seedream and SeedEdit on Volcengine Ark, and abroad on BytePlus ModelArk, which speaks the same.

Wire facts: volcengine-ark-runtime 5.0.54 (seen 2026-11-20, official SDK) and the pages behind it, BytePlus ModelArk
docs 1541523, 1824121 and 1299023 (copies of 2026-07 to 2026-09, documented) unless said otherwise.

    POST /images/generations   JSON {"model", "prompt", "image"?, "size"?, "response_format", "watermark", …}
    → {"model", "created", "data": [{"b64_json" | "url", "size", "output_format"?} | {"error": {"code", "message"}}],
       "usage": {"generated_images", "input_images"?, "output_tokens", "total_tokens"}}
    → 4xx, 5xx {"error": {"code", "message", "param", "type"}}, at times without the "error" around it

One path for everything: an `image` (data URL, or a list of them) makes it an edit. There is no `n`, no mask, no task
id, no cancel and no idempotency key. With "stream": true every picture of a group comes by itself once it is finished;
there are no previews, so streams are not used.

Where a picture of a group fails for its content, the group goes on with the next; where it fails by an internal error
(500), the group ends there. Billed are `generated_images`, the pictures that came (Volcengine's 82379/1541523, copies
of 2025-09 to 2026-07, documented).

`released` is the date in the vendor's own id. Prices in dollars are BytePlus's, as resellers tell them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar

from msgspec.structs import replace
from yarl import URL

from pictura.core.capability import takes
from pictura.core.errors import BadRequest, Failed, Malformed, PicturaError, Refused, Rejected
from pictura.core.model import Anything, Choice, Descriptor, Flag, Inputs, ModelCard, Prompt, Source, Span
from pictura.core.money import usd
from pictura.core.price import PerPicture, PriceList, Row, Usage
from pictura.core.size import FreePixels, OwnSize
from pictura.infra.http import Answer
from pictura.infra.payload import json_payload
from pictura.providers.answers import (
    MOST_TOKENS,
    close_unused,
    closed_on_error,
    code_of,
    document_of,
    items,
    mapping,
    picture,
    said,
    word,
)
from pictura.providers.base import (
    NOBODY,
    Ask,
    Channel,
    Done,
    Provider,
    Raw,
    error_from,
    retry_after,
    unreadable,
)
from pictura.providers.yuan import YUAN

_DOCS = Source("BytePlus ModelArk docs 1541523 and 1824121; volcengine-ark-runtime 5.0.54", "2026-09", "documented")
_RESOLD = Source("docs.comfy.org, docs.laozhang.ai, docs.apiyi.com", "2026-11-13", "third party")
_CODE = Source("Volcengine docs 82379/1541523 (2025-09); volcengine-ark-runtime 5.0.54", "2026-11-20", "documented")
_PRICES = Source("resellers (litellm 1.109.1, ComfyUI)", "2026-11", "third party")
_RATES = Source("docs.apiyi.com, which quotes BytePlus's rate card; docs.laozhang.ai", "2026-11", "third party")
#: The two sides of the vendor's border, which lies at 2,601,123 pixels.
_LESSER, _LARGER = "1231x2113", "1588x1638"

# What the vendor recommends for each tier (docs 1824121).
_1K = (
    *("1024x1024", "864x1152", "1152x864", "1312x736", "736x1312"),
    *("832x1248", "1248x832", "1568x672"),
)
_2K = (
    *("2048x2048", "1728x2304", "2304x1728", "2848x1600", "1600x2848"),
    *("1664x2496", "2496x1664", "3136x1344"),
)
_3K = (
    *("3072x3072", "2592x3456", "3456x2592", "4096x2304", "2304x4096"),
    *("2496x3744", "3744x2496", "4704x2016"),
)
_4K = (
    *("4096x4096", "3520x4704", "4704x3520", "5504x3040", "3040x5504"),
    *("3328x4992", "4992x3328", "6240x2656"),
)
# Those of 5.0 pro, flash and 5.5.
_PRO_1K = (
    *("1024x1024", "864x1152", "1152x864", "1424x800", "800x1424"),
    *("832x1248", "1248x832", "1568x672"),
)
_PRO_2K = (
    *("2048x2048", "1776x2368", "2368x1776", "2816x1584", "1584x2816"),
    *("1664x2496", "2496x1664", "3136x1344"),
)

# The vendor stamps "AI generated" on every picture unless told not to; we tell it.
_WATERMARK = Flag(default=False)
_SEED = Span(-1, 2**31 - 1, default=-1)
_OPTIONS: dict[str, Descriptor] = {"seed": _SEED, "watermark": _WATERMARK, "optimize_prompt_options": Anything()}
_GROUPS: dict[str, Descriptor] = {
    "sequential_image_generation": Choice(("disabled", "auto"), "disabled"),
    "sequential_image_generation_options": Anything(),
}
_GUIDED: dict[str, Descriptor] = {"seed": _SEED, "watermark": _WATERMARK}
# Sides of more than 14 pixels, and at most 6000x6000 in all.
_INPUTS = Inputs(
    count=14,
    formats=("jpeg", "png", "webp", "bmp", "tiff", "gif"),
    max_bytes=10_000_000,
    min_edge=15,
    max_pixels=36_000_000,
    max_ratio=16,
)
_PRO_INPUTS = replace(_INPUTS, count=10, formats=(*_INPUTS.formats, "heic"), max_bytes=30_000_000)
_GROUP_NOTE = (
    "There is no n, so calls are repeated. A group (sequential_image_generation auto) has as many pictures as the "
    "model reads out of the prompt, at most 15 with the inputs. A seed is taken, but has no documented effect."
)
_LAYER_NOTE = (
    "layer_decomposition is not offered: it brings an unknown number of pictures, and what it tells about them has no "
    "place in an answer."
)

_SEEDREAM_4_5 = ModelCard(
    id="seedream-4.5",
    native="doubao-seedream-4-5-251128",
    aliases=("Seedream:4.5", "seedream-4-5-251128", "doubao-seedream-4.5", "SI:4.5"),
    released="2025-11-28",
    released_known=True,
    modes=("generate", "edit"),
    sizes=FreePixels(
        min_pixels=3_686_400,
        max_pixels=16_777_216,
        max_ratio=16,
        presets=(*_2K, *_4K),
        tiers=("2K", "4K"),
        default="2048x2048",
    ),
    group_most=15,
    inputs=_INPUTS,
    outputs=("jpeg",),
    params={**_OPTIONS, **_GROUPS},
    price=PerPicture(usd("0.04")),
    price_source=_PRICES,
    source=_DOCS,
    notes=f"{_GROUP_NOTE} 1024x1024 is too small for it. In China ¥0.25 (memory).",
)
_SEEDREAM_5_0_PRO = ModelCard(
    id="seedream-5.0-pro",
    native="doubao-seedream-5-0-pro-260628",
    aliases=(
        *("Seedream:5.0-pro", "doubao-seedream-5-0-pro", "dola-seedream-5-0-pro", "seedream-image-v5.0-pro"),
        *("dola-seedream-5-0-pro-260628", "seedream-5-0-pro-260628"),
    ),
    released="2026-06-28",
    released_known=True,
    modes=("generate", "edit"),
    sizes=FreePixels(
        min_pixels=921_600,
        max_pixels=4_624_220,
        max_ratio=16,
        presets=(*_PRO_1K, *_PRO_2K),
        tiers=("1K", "2K"),
        default="2048x2048",
    ),
    inputs=_PRO_INPUTS,
    outputs=("jpeg", "png"),
    transparent=True,
    params={
        "watermark": _WATERMARK,
        "optimize_prompt_options": Anything(),
        "background": Choice(("opaque", "transparent"), "opaque"),
    },
    price=PriceList((Row(usd("0.045"), "", _LESSER), Row(usd("0.09"), "", _LARGER))),
    price_source=_RATES,
    source=_DOCS,
    notes=(
        "There is no n, so calls are repeated; groups, streams and seeds it does not know. A transparent background "
        "needs one PNG input that has one. Every input after the first costs $0.003 more, which the price leaves out. "
        f"{_LAYER_NOTE}"
    ),
)

#: What the models are called abroad; an inference endpoint (`ep-…`) has the same name everywhere.
_ABROAD = {
    "doubao-seedream-5-5-261028": "dola-seedream-5-5-261028",
    "doubao-seedream-5-0-pro-260628": "dola-seedream-5-0-pro-260628",
    "doubao-seedream-5-0-flash-260915": "dola-seedream-5-0-flash-260915",
    "doubao-seedream-5-0-260128": "seedream-5-0-260128",
    "doubao-seedream-4-5-251128": "seedream-4-5-251128",
    "doubao-seedream-4-0-250828": "seedream-4-0-250828",
    "doubao-seedream-3-0-t2i-250415": "seedream-3-0-t2i-250415",
    "doubao-seededit-3-0-i2i-250628": "seededit-3-0-i2i-250628",
}


class Volcengine(Provider):
    """Volcengine Ark, https://www.volcengine.com/docs/82379. Answers at once.

    BytePlus ModelArk is a channel with `base_url = "https://ark.ap-southeast.bytepluses.com/api/v3"` (or `eu-west`).
    """

    name = "volcengine"
    base_url = "https://ark.cn-beijing.volces.com/api/v3"
    env: ClassVar = {"api_key": "ARK_API_KEY"}
    sandbox_path = "/volcengine/api/v3"
    MODELS = (
        replace(
            _SEEDREAM_5_0_PRO,
            id="seedream-5.5",
            native="doubao-seedream-5-5-261028",
            aliases=("Seedream:5.5", "doubao-seedream-5-5", "dola-seedream-5-5-261028", "seedream-5-5-261028"),
            released="2026-10-28",
            outputs=("png", "jpeg"),
            params={**_SEEDREAM_5_0_PRO.params, "background": Choice(("auto", "opaque", "transparent"), "auto")},
            price=PriceList((Row(usd("0.02"), "", _LESSER), Row(usd("0.035"), "", _LARGER)), input_amount=usd("0.008")),
            source=_RESOLD,
            notes=(
                "There is no n, so calls are repeated; groups, streams and seeds it does not know. On sale since "
                f"2026-11-12. {_LAYER_NOTE}"
            ),
        ),
        _SEEDREAM_5_0_PRO,
        replace(
            _SEEDREAM_5_0_PRO,
            id="seedream-5.0-flash",
            native="doubao-seedream-5-0-flash-260915",
            aliases=(
                *("Seedream:5.0-flash", "doubao-seedream-5-0-flash", "dola-seedream-5-0-flash-260915"),
                "seedream-5-0-flash-260915",
            ),
            released="2026-09-15",
            price=PerPicture(usd("0.018")),
            source=_RESOLD,
            notes=(
                "There is no n, so calls are repeated; groups, streams and seeds it does not know. A transparent "
                f"background needs one PNG input that has one. In China ¥0.12. {_LAYER_NOTE}"
            ),
        ),
        replace(
            _SEEDREAM_4_5,
            id="seedream-5.0-lite",
            native="doubao-seedream-5-0-260128",
            aliases=(
                *("Seedream:5.0-lite", "Seedream:5.0", "doubao-seedream-5-0-lite", "doubao-seedream-5.0-lite"),
                *("SI:5.0-lite", "seedream-image-v5.0-lite", "seedream-5-0-260128", "seedream-5-0-lite-260128"),
                "doubao-seedream-5-0-lite-260128",
            ),
            released="2026-01-28",
            sizes=FreePixels(
                min_pixels=3_686_400,
                max_pixels=16_777_216,
                max_ratio=16,
                presets=(*_2K, *_3K, *_4K),
                tiers=("2K", "3K", "4K"),
                default="2048x2048",
            ),
            outputs=("jpeg", "png"),
            params={**_OPTIONS, **_GROUPS, "tools": Anything()},
            price=PerPicture(usd("0.035")),
            notes=f"{_GROUP_NOTE} 1024x1024 is too small for it. In China ¥0.25.",
        ),
        _SEEDREAM_4_5,
        replace(
            _SEEDREAM_4_5,
            id="seedream-4.0",
            native="doubao-seedream-4-0-250828",
            aliases=("Seedream:4.0", "seedream-4-0-250828", "doubao-seedream-4.0", "seedream-4.0-base", "SI:4.0"),
            released="2025-08-28",
            sizes=FreePixels(
                min_pixels=921_600,
                max_pixels=16_777_216,
                max_ratio=16,
                presets=(*_1K, *_2K, *_4K),
                tiers=("1K", "2K", "4K"),
                default="2048x2048",
            ),
            price=PerPicture(usd("0.03")),
            notes=f"{_GROUP_NOTE} In China ¥0.2.",
        ),
        ModelCard(
            id="seedream-3.0",
            native="doubao-seedream-3-0-t2i-250415",
            aliases=("Seedream:3.0", "seedream-3-0-t2i-250415", "doubao-seedream-3.0"),
            released="2025-04-15",
            released_known=True,
            sizes=FreePixels(
                min_edge=512,
                max_edge=2048,
                presets=(
                    *("1024x1024", "864x1152", "1152x864", "1280x720", "720x1280"),
                    *("832x1248", "1248x832", "1512x648"),
                ),
                default="1024x1024",
            ),
            outputs=("jpeg",),
            params={**_GUIDED, "guidance_scale": Span(1, 10, whole=False, default=2.5)},
            price=PerPicture(usd("0.03")),
            price_source=replace(_PRICES, name="docs.comfy.org's price page", date="2026-09"),
            source=_CODE,
            notes="In China ¥0.259.",
        ),
        ModelCard(
            id="seededit-3.0",
            native="doubao-seededit-3-0-i2i-250628",
            aliases=("SeedEdit:3.0", "seededit-3-0-i2i-250628"),
            released="2025-06-28",
            released_known=True,
            modes=("edit",),
            sizes=OwnSize(),
            inputs=replace(_INPUTS, count=1, formats=("jpeg", "png"), required=True, max_ratio=3),
            outputs=("jpeg",),
            params={**_GUIDED, "guidance_scale": Span(1, 10, whole=False, default=5.5)},
            price=PerPicture(YUAN.micros("0.3")),
            price_source=Source("Volcengine's pricing page as remembered", "2025", "memory"),
            currency=YUAN,
            source=_CODE,
            notes="Priced in yuan only. BytePlus has taken its page down (2026-08).",
        ),
    )

    def generic(self, model: str) -> ModelCard:
        """An inference endpoint, or a model younger than this file: the vendor is the one to refuse."""
        return replace(_GENERIC, id=model)

    async def start(self, ask: Ask, via: Channel) -> Done:
        answer = await via.send(
            "POST",
            "/images/generations",
            headers=via.bearer,
            body=json_payload(_fields(ask, via)),
            picture_keys=frozenset({"b64_json"}),
        )
        with closed_on_error(answer):
            return self._done(answer, via)

    def _done(self, answer: Answer, via: Channel) -> Done:
        if not 200 <= answer.status < 300:
            raise self._error(answer, via)
        document = mapping(answer.json())
        entries = items(document.get("data"))
        drawn = [(entry, raw) for entry in entries if (raw := _raw(entry, answer)) is not None]
        if not drawn:
            raise self._no_picture((document, *entries), answer.status, via)
        pictures = tuple(raw for _, raw in drawn)
        close_unused(answer.pictures, pictures)
        return Done(pictures=pictures, usage=_usage(document), echo=_echo(drawn[0][0]))

    def _no_picture(self, told: Sequence[Mapping[str, object]], status: int, via: Channel) -> PicturaError:
        """Status 200 all the same: what is wrong with the whole call, or with the pictures of a group, one by one."""
        for document in told:
            if error := mapping(document.get("error")):
                return self._verdict(error, status, via)
        return Malformed("the provider answered without a picture", upstream_status=status)

    def _error(self, answer: Answer, via: Channel) -> PicturaError:
        document = document_of(answer)
        error = mapping(document.get("error")) or document
        if not error.get("code"):
            return unreadable(answer)
        return self._verdict(error, answer.status, via, retry_after(answer))

    def _verdict(
        self, error: Mapping[str, object], status: int, via: Channel, retry_after_s: int | None = None
    ) -> PicturaError:
        """The error of the tree, by the code's first word (`InvalidEndpoint.ClosedEndpoint`), else by the status."""
        message, code = said(error.get("message"), via), code_of(error.get("code"))
        family = code.partition(".")[0]
        if family in _REFUSALS:
            return Refused(message, reason=code, by=self.name)
        if family in _OPERATORS_AFFAIR:
            return Rejected(message, upstream_status=status, upstream_code=code, config=True)
        if family in _UNBILLED:
            return Failed(message, upstream_status=status, upstream_code=code, unbilled=True)
        if status in (400, 422):
            return BadRequest(message, param=word(error.get("param")) or None)
        if status < 300:
            return Failed(message, upstream_status=status, upstream_code=code)
        return error_from(status, message, code, retry_after_s)


#: Refused for its content (docs 1299023). Only pictures that were made are billed (docs 1541523, `generated_images`).
_REFUSALS = frozenset(
    {
        "SensitiveContentDetected",
        "InputTextSensitiveContentDetected",
        "InputImageSensitiveContentDetected",
        "OutputTextSensitiveContentDetected",
        "OutputImageSensitiveContentDetected",
        "InputTextRiskDetection",
        "InputImageRiskDetection",
        "OutputTextRiskDetection",
        "OutputImageRiskDetection",
    }
)
#: What only the operator can mend, where the status does not say so: a closed endpoint is a 400, a lapsed plan too; a
#: free trial that is used up and a spending limit that was set in the console are 429 (docs 1299023).
_OPERATORS_AFFAIR = frozenset({"InvalidEndpoint", "InvalidSubscription", "QuotaExceeded", "SetLimitExceeded"})
#: The vendor's own failures, in which no picture was made: of its drawing, and of its check of the content, a 400.
_UNBILLED = frozenset({"InternalServiceError", "ContentSecurityDetectionError"})
_ECHOED = ("size", "output_format")

_GENERIC = ModelCard(
    id="",
    modes=("generate", "edit"),
    prompt=Prompt("optional", max_chars=200_000),
    sizes=FreePixels(tiers=("1K", "2K", "3K", "4K")),
    group_most=15,
    inputs=replace(_PRO_INPUTS, min_edge=0, max_pixels=0, max_ratio=0),
    outputs=("jpeg", "png"),
    transparent=True,
    params=dict.fromkeys((*_OPTIONS, *_GROUPS, "guidance_scale", "tools", "background"), Anything()),
    source=NOBODY,
)


def _fields(ask: Ask, via: Channel) -> dict[str, object]:
    options = {name: value for name, value in ask.params.items() if _is_meant(value, ask.card.params.get(name))}
    fields = {
        "model": _name(ask.native, via),
        "prompt": ask.prompt,
        # A picture inside the answer is cut out as it flows in. Its URL would need a second download, from another
        # host, in another part of the world perhaps, and is dead after 24 hours.
        "response_format": "b64_json",
        "watermark": False,
        **options,
        **_size(ask),
        **_format(ask, options),
    }
    if ask.images:
        shown = [image.data_url for image in ask.images]
        fields["image"] = shown if len(shown) > 1 else shown[0]
    return fields


def _is_meant(value: object, descriptor: Descriptor | None) -> bool:
    """`auto` switches groups on, and elsewhere leaves the vendor its default: it goes where the card lists it."""
    return descriptor is not None and takes(value, descriptor)


def _name(native: str, via: Channel) -> str:
    host = URL(via.base_url).host or ""
    return _ABROAD.get(native, native) if host.endswith(".bytepluses.com") else native


def _size(ask: Ask) -> dict[str, object]:
    if isinstance(ask.card.sizes, OwnSize):
        return {"size": "adaptive"}  # SeedEdit's only size, near the input's
    # Aspects have become pixels: the vendor has no word for them.
    return {} if ask.size.auto else {"size": str(ask.size)}


def _format(ask: Ask, options: Mapping[str, object]) -> dict[str, object]:
    """A model with one format takes no word about it; one whose default is JPEG needs PNG to be transparent."""
    if ask.output_format and len(ask.card.outputs) > 1:
        return {"output_format": ask.output_format}
    return {"output_format": "png"} if options.get("background") == "transparent" else {}


def _raw(entry: Mapping[str, object], answer: Answer) -> Raw | None:
    return picture((entry.get("b64_json"), entry.get("url")), answer.pictures)


def _echo(entry: Mapping[str, object]) -> dict[str, str]:
    return {key: value for key in _ECHOED if isinstance(value := entry.get(key), str)}


def _usage(document: Mapping[str, object]) -> Usage | None:
    """Tokens for the record, one for every 256 pixels; what is billed are pictures."""
    tokens = mapping(document.get("usage")).get("output_tokens")
    return Usage(image_out=tokens) if type(tokens) is int and 0 < tokens <= MOST_TOKENS else None
