"""The least that may be said to a model, for tests that go through the whole catalogue."""

from __future__ import annotations

from pictura.core.model import Choice, Descriptor, Flag, ModelCard, Span
from pictura.core.request import ImageRequest, InputPicture


def least_request(card: ModelCard, **more: object) -> ImageRequest:
    """A prompt, pictures where it works on pictures, and the options it cannot do without."""
    count = least_pictures(card)
    fields: dict[str, object] = {
        "model": card.id,
        "prompt": "" if card.prompt.need == "none" else "a fox in the snow",
        "images": tuple(InputPicture(ref=f"upload:{number}") for number in range(count)),
        "operation": "edit" if count else "generate",
        "params": least_options(card),
        **more,
    }
    return ImageRequest(**fields)  # type: ignore[arg-type]


def least_pictures(card: ModelCard) -> int:
    return card.inputs.least if card.inputs.required or "generate" not in card.modes else 0


def least_options(card: ModelCard) -> dict[str, object]:
    """Of each group of options that are required one."""
    return {group[0]: _some(card.params[group[0]]) for group in card.required if group[0] in card.params}


def _some(descriptor: Descriptor) -> object:
    if isinstance(descriptor, Span):
        wanted = 64 if descriptor.whole else 0.5
        return max(descriptor.low, min(descriptor.high, wanted))
    if isinstance(descriptor, Choice):
        return descriptor.values[0]
    return True if isinstance(descriptor, Flag) else "the fox"
