"""Every provider that the sandbox imitates, and the least that each of its models can be asked."""

from __future__ import annotations

from pictura.core.model import ModelCard
from pictura.core.plugins import discover
from pictura.core.price import Free
from pictura.providers.base import Provider
from tests.doors.door import data_url
from tests.least import least_options, least_pictures
from tests.upstream import picture

FOUND, _ = discover("pictura.providers", "pictura.providers", Provider)  # type: ignore[type-abstract]
CARDS = {card.id: card for provider in FOUND.values() for card in provider.MODELS}
#: Stability alone answers some models at once and others by task.
SHOWN = {"stability": "stable-image-upscale-creative"}


def shown(name: str) -> ModelCard:
    """Of a provider one model: the first that draws from a text, else the first."""
    cards = FOUND[name].MODELS
    drawing = [card for card in cards if "generate" in card.modes and card.status != "retired"]
    return CARDS[SHOWN[name]] if name in SHOWN else (drawing or cards)[0]


#: Those that the sandbox imitates natively.
NATIVE = {name: shown(name) for name, provider in FOUND.items() if provider.sandbox_path and provider.MODELS}
#: Engines of one's own bill nothing and refuse nothing.
VENDORS = {name: card for name, card in NATIVE.items() if not isinstance(card.price, Free)}


def asking(card: ModelCard, prompt: str = "一只狐狸 in the snow", **more: object) -> dict[str, object]:
    """The least that this model takes."""
    fields: dict[str, object] = {"model": card.id, "response_format": "b64_json", **more}
    if card.prompt.need != "none":
        fields["prompt"] = prompt
    if count := least_pictures(card):
        fields["image"] = [data_url(picture(512, 512))] * count
    if card.modes == ("inpaint",):
        fields["mask"] = data_url(picture(512, 512, mode="RGBA"))
    return {**fields, **least_options(card)}


def editing(card: ModelCard, width: int, height: int) -> dict[str, object]:
    """The same, with pictures of this size."""
    fields = asking(card)
    if card.prompt.need == "optional":
        del fields["prompt"]  # the panorama takes either
    if card.mask:
        fields["mask"] = data_url(picture(width, height, mode="RGBA"))
    return {**fields, "image": [data_url(picture(width, height))] * max(1, least_pictures(card))}
