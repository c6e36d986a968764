"""Azure OpenAI, https://learn.microsoft.com/azure/ai-foundry/openai: OpenAI's pictures, and FLUX, in one's own tenant.

    POST {endpoint}/openai/deployments/{deployment}/images/generations?api-version=…   JSON
    POST {endpoint}/openai/deployments/{deployment}/images/edits?api-version=…         multipart
    POST {endpoint}/openai/v1/images/…                                                 the same without both
    api-key: …
    → as OpenAI
    → 4xx, 5xx {"error": {"code", "message", "innererror"?: {"code": "ResponsibleAIPolicyViolation", …}}}; a picture
      that the filter withholds also with 200

Wire facts: openai-python 3.52 (AzureOpenAI; seen 2026-11-20, official SDK) for paths, headers and names of variables;
Microsoft's pages and the tests of those who use them (2025 to 2026, documented and third party) for errors.

A deployment is named by whoever makes it, and at first called as its model. A channel says what it is called:
`models = {"gpt-image-2" = "my-deployment"}`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar
from urllib.parse import quote, urlsplit

from msgspec.structs import replace

from pictura.core.datasheet import LOSSY
from pictura.core.model import Inputs, ModelCard, Source
from pictura.core.money import usd
from pictura.core.price import PerPicture
from pictura.core.size import OwnSize
from pictura.providers.answers import mapping
from pictura.providers.base import Ask, Channel
from pictura.providers.openai import GPT_IMAGE_2, StreamingImagesApi

#: The first that has edits.
API_VERSION = "2025-04-01-preview"

_USERS = Source("openai-python 3.52; code of those who deployed it", "2026-11-20", "third party")
_FOUNDRY = Source("Microsoft's page of FLUX in Foundry (excerpt)", "2026", "documented; sizes are memory")
_PRICES = Source("litellm 1.109.1, citing Microsoft's pricing page and its blog", "2026-11", "third party")

_FLUX_1_1 = ModelCard(
    id="azure-flux-1.1-pro",
    native="FLUX-1.1-pro",
    released="2024-11-02",
    sizes=OwnSize(pixels="1024x1024"),
    price=PerPicture(usd("0.04")),
    price_source=_PRICES,
    source=_FOUNDRY,
    notes="Which other sizes it takes is not established. Ends 2027-01-05 (litellm).",
)


class Azure(StreamingImagesApi):
    """Azure OpenAI and Foundry. Answers at once; shows previews.

    A channel's `base_url` is the resource (`https://name.openai.azure.com`), with `/openai/v1` behind it for the paths
    without deployments and versions.
    """

    name = "azure"
    # The address differs from account to account, so that it comes with the key.
    env: ClassVar = {"api_key": "AZURE_OPENAI_API_KEY", "endpoint": "AZURE_OPENAI_ENDPOINT"}
    optional_env: ClassVar = {"api_version": "OPENAI_API_VERSION"}
    channel_options: ClassVar = {
        "api_version": f"the version of the API, `preview` say; else {API_VERSION}, and none behind `/openai/v1`"
    }
    sandbox_path = "/azure/openai"
    compresses = LOSSY
    marker = "azure/"
    json_edits = False
    MODELS = (
        replace(
            GPT_IMAGE_2,
            id="azure-gpt-image-2",
            native="azure/gpt-image-2",
            aliases=(),
            source=_USERS,
            notes="Called is the deployment gpt-image-2. What it takes and costs is taken over from OpenAI.",
        ),
        _FLUX_1_1,
        replace(
            _FLUX_1_1,
            id="azure-flux-kontext-pro",
            native="FLUX.1-Kontext-pro",
            released="2025-05-29",
            modes=("generate", "edit"),
            inputs=Inputs(count=1),
        ),
    )

    def place(self, ask: Ask, via: Channel) -> str:
        base, path = _base(via), super().place(ask, via)
        version = via.option("api_version")
        if base.endswith("/v1"):
            return f"{base}{path}?api-version={quote(version)}" if version else base + path
        deployment = quote(self.model(ask), safe="")
        return f"{base}/deployments/{deployment}{path}?api-version={quote(version or API_VERSION)}"

    def headers(self, via: Channel) -> Mapping[str, str]:
        return {"api-key": via.secrets.get("api_key", "")}

    def codes(self, error: Mapping[str, object]) -> list[str]:
        inner = mapping(error.get("innererror") or error.get("inner_error")).get("code")
        return [*super().codes(error), *([str(inner)] if inner else [])]


def _base(via: Channel) -> str:
    """Where the API lies at the channel's address, or at the one that came with its key."""
    base = (via.base_url or via.secrets.get("endpoint", "")).rstrip("/")
    return base if "/openai" in urlsplit(base).path else f"{base}/openai"
