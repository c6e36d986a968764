"""The built-in model that costs nothing and dreams of nothing: for a first call, a CI job, a new client."""

from __future__ import annotations

from pictura.core.model import Choice, Inputs, Mask, ModelCard, Prompt, Source, Span
from pictura.core.price import Free
from pictura.core.size import FreePixels
from pictura.providers.plain import PlainProvider

_PAGE = Source("ImageRouter's skill page", "2026-02-01", "vendor's page")

_TEST = ModelCard(
    id="test/test",
    aliases=("imagerouter-test",),
    released=_PAGE.date,
    modes=("generate", "edit", "inpaint"),
    prompt=Prompt("optional"),
    sizes=FreePixels(min_edge=16, max_edge=4096, default="1024x1024"),
    max_n=10,
    inputs=Inputs(count=16, max_bytes=50_000_000),
    mask=Mask(formats=("png", "webp"), max_bytes=50_000_000),
    outputs=("png", "jpeg", "webp"),
    transparent=True,
    params={
        "quality": Choice(("auto", "low", "medium", "high"), "auto"),
        "background": Choice(("auto", "transparent", "opaque"), "auto"),
        "seed": Span(0, 2**31 - 1),
    },
    price=Free(),
    price_source=_PAGE,
    source=_PAGE,
    notes="A dummy, as ImageRouter has one under the same name: the sandbox draws it, also for a live key.",
)


class Test(PlainProvider):
    """The house itself: it wants no account and no key. The doors lead its channel to the sandbox."""

    name = "test"
    MODELS = (_TEST,)
