"""new-api and its kin: QuickRouter, OpenOpen8 and everybody who runs the same software under a name of his own.

    POST /images/generations   JSON, as at OpenAI
    POST /images/edits         multipart, or JSON, which is passed through
    → {"created", "data": [{"url" | "b64_json", "revised_prompt"}]}, or whatever an upstream like OpenAI said
    → 4xx, 5xx {"error": {"message", "type", "param", "code"}}

Wire facts: new-api's source (main of 2026-07, read in source); that QuickRouter and MixRoute are of the family is
inferred from their paths, keys and answers. Wrong parameters are a 500 there, an unknown model is a 503, an empty
account a 403. What fails is refunded.
"""

from __future__ import annotations

from collections.abc import Mapping

from pictura.core.errors import PicturaError, Rejected
from pictura.core.model import Choice, Inputs, ModelCard, Source
from pictura.core.size import ListedPixels
from pictura.providers.answers import mapping, said
from pictura.providers.base import Channel
from pictura.providers.openai import ImagesWire, StreamingImagesApi

_QUICKROUTER = Source("QuickRouter's pages of its images", "2026-02-01", "documented; options are those of gpt-image-1")


class NewApiWire(ImagesWire):
    """Base of the family."""

    def verdict(
        self, document: Mapping[str, object], status: int, via: Channel, retry_after_s: int | None = None
    ) -> PicturaError:
        error = mapping(document.get("error")) or document
        code = str(error.get("code") or "")
        if code in _NOT_BEGUN or code.startswith("channel:"):
            return Rejected(said(error.get("message"), via), upstream_status=status, upstream_code=code)
        return super().verdict(document, 400 if code in _CALLERS else status, via, retry_after_s)

    def refunds(self, document: Mapping[str, object]) -> bool:
        return True


#: What is wrong with the request, whatever the status: mostly 500.
_CALLERS = frozenset({"invalid_request", "read_request_body_failed"})
#: Nobody behind the router was asked.
_NOT_BEGUN = frozenset({"get_channel_failed", "convert_request_failed", "model_price_error"})


class NewApi(NewApiWire, StreamingImagesApi):
    """new-api, https://docs.newapi.pro. Answers at once; passes previews on. There is no address but the channel's own:
    `base_url = "https://api.quickrouter.ai/v1"` or `"https://openopen8.ai/v1"`.
    """

    name = "new-api"
    sandbox_path = "/new-api/v1"
    MODELS = (
        ModelCard(
            id="new-api-gpt-image-1-all",
            native="gpt-image-1-all",
            released=_QUICKROUTER.date,
            modes=("generate", "edit"),
            sizes=ListedPixels(values=("1024x1024", "1536x1024", "1024x1536"), auto=True),
            max_n=10,
            inputs=Inputs(count=16),
            params={"quality": Choice(("auto", "low", "medium", "high"), "auto")},
            source=_QUICKROUTER,
            notes="ChatGPT's own pictures, resold by the picture at whatever a router asks.",
        ),
    )
