"""Does this model take this request? `check` lists what it does not, each problem with what is allowed instead."""

from __future__ import annotations

import re
from collections.abc import Iterator

from pictura.core.errors import BadRequest, Missing, OutOfBounds, Unsupported
from pictura.core.model import Choice, Descriptor, Flag, ModelCard, Span, Words
from pictura.core.request import END_USER, ImageRequest

#: Options that the house itself heeds, in choosing a channel; no card need list them.
PREFERENCES = frozenset({"input_region"})
#: Options that say nothing without a picture.
OF_EDITS = frozenset({"input_fidelity", "image_reference"})
#: Options that say nothing where no group was asked for.
OF_GROUPS = frozenset({"sequential_image_generation_options"})

#: The words for a quality, those that mean the same side by side.
_QUALITIES = {"low": 1, "medium": 2, "standard": 2, "high": 3, "hd": 3, "xhigh": 4, "max": 5}

_NUMBER = re.compile(r"[+-]?[0-9]{1,18}(\.[0-9]{1,18})?")


def check(request: ImageRequest, card: ModelCard) -> list[BadRequest]:
    """Everything this model refuses about this request; empty when it takes it. Sizes are `core.size.fit`'s affair."""
    return [
        *check_prompt(request, card),
        *_pictures(request, card),
        *_mask(request, card),
        *_count(request, card),
        *_options(request, card),
        *_needed(request, card),
        *_output(request, card),
    ]


def neutral(value: object) -> bool:
    """Is this a word that means "the model's own default", in every dialect and for every model?"""
    return isinstance(value, str) and value in ("", "auto")


def grouped(request: ImageRequest) -> bool:
    """May the model draw as many pictures that belong together as it sees fit?"""
    return request.params.get("sequential_image_generation") == "auto"


def idle(name: str, request: ImageRequest) -> str:
    """What an option is about that is no part of this request, so that it says nothing; "" where it does."""
    if name in OF_EDITS and not request.images:
        return "the picture to edit, and none was sent"
    if name in OF_GROUPS and not grouped(request):
        return "a group, and none was asked for (sequential_image_generation auto)"
    return ""


def takes(value: object, descriptor: Descriptor) -> bool:
    if isinstance(descriptor, Choice):
        return isinstance(value, str) and value in descriptor.values
    if isinstance(descriptor, Span):
        if isinstance(value, bool) or not isinstance(value, int | float):
            return False
        return descriptor.low <= value <= descriptor.high and _whole_enough(value, descriptor)
    if isinstance(descriptor, Flag):
        return isinstance(value, bool)
    if isinstance(descriptor, Words):
        return isinstance(value, str) and len(value) <= descriptor.max_chars
    return True


def nearest_quality(value: object, descriptor: Descriptor | None) -> object:
    """The next quality that a model knows, the lower of two; `value` itself where it knows that, or nobody does."""
    if not isinstance(value, str) or not isinstance(descriptor, Choice) or value in descriptor.values:
        return value
    known = sorted((word for word in descriptor.values if word in _QUALITIES), key=_QUALITIES.__getitem__)
    if not known or value not in _QUALITIES:
        return value
    return min(known, key=lambda word: abs(_QUALITIES[word] - _QUALITIES[value]))


def most_pictures(card: ModelCard) -> int:
    """Of one request. Calls are fanned out up to ten pictures, the most that any dialect's own limit names."""
    return max(card.max_n, 10) if card.fan_out else card.max_n


def meant(value: object, descriptor: Descriptor) -> object:
    """A form's text as the number or the flag that it stands for; anything else as it is."""
    if isinstance(value, str) and isinstance(descriptor, Span):
        return _number(value)
    if isinstance(value, str) and isinstance(descriptor, Flag):
        return {"true": True, "false": False}.get(value.strip().lower(), value)
    return value


def allowed(descriptor: Descriptor) -> tuple[str, ...]:
    """What may be written, in words."""
    if isinstance(descriptor, Choice):
        return descriptor.values
    if isinstance(descriptor, Span):
        kind = "an integer" if descriptor.whole else "a number"
        return (f"{kind} from {descriptor.low:.15g} to {descriptor.high:.15g}",)
    if isinstance(descriptor, Flag):
        return ("true", "false")
    if isinstance(descriptor, Words):
        return (f"text of at most {descriptor.max_chars:,} characters",)
    return ("any value",)


def _plainly(descriptor: Descriptor) -> tuple[str, ...]:
    """What may be written, as far as possible without words of any language."""
    return (f"{descriptor.low:.15g}–{descriptor.high:.15g}",) if isinstance(descriptor, Span) else allowed(descriptor)


def _number(text: str) -> object:
    if not _NUMBER.fullmatch(text.strip()):
        return text
    return float(text) if "." in text else int(text)


def _whole_enough(value: object, descriptor: Span) -> bool:
    return not descriptor.whole or isinstance(value, int) or (isinstance(value, float) and value.is_integer())


def check_prompt(request: ImageRequest, card: ModelCard, *, whole: bool = False) -> Iterator[BadRequest]:
    """`whole`: with what holds for the whole conversation before it."""
    limit = min(card.prompt.max_chars, request.max_prompt_chars or card.prompt.max_chars)
    prompt, note = (request.whole_prompt, "; systemInstruction is its beginning") if whole else (request.prompt, "")
    if not prompt.strip():
        if card.prompt.need == "required":
            yield Missing(f"prompt is required: {card.id} draws from a text", param="prompt")
    elif card.prompt.need == "none":
        yield Unsupported(f"{card.id} takes no prompt; leave it out, or send an empty one{note}", param="prompt")
    elif len(prompt) > limit:
        yield OutOfBounds(
            f"prompt has {len(prompt):,} characters; {card.id} takes at most {limit:,}{note}",
            param="prompt",
            count=len(prompt),
            most=limit,
        )


def _pictures(request: ImageRequest, card: ModelCard) -> Iterator[BadRequest]:
    count, most = len(request.images), card.inputs.count
    if count and not most:
        yield Unsupported(f"{card.id} takes no input pictures; use a model that edits", param="image")
    elif count > most:
        told = f"{count} pictures were sent; {card.id} takes at most {most}"
        yield OutOfBounds(told, param="image", count=count, most=most)
    elif not count and (card.inputs.required or "generate" not in card.modes):
        yield Missing(f"image is required: {card.id} works on a picture", param="image")
    elif card.inputs.required and count < card.inputs.least:
        told = f"{card.id} needs {card.inputs.least} pictures, not {count}"
        yield OutOfBounds(told, param="image", count=count, least=card.inputs.least, most=most)


def _mask(request: ImageRequest, card: ModelCard) -> Iterator[BadRequest]:
    if request.mask is None:
        return
    if card.mask is None:
        yield Unsupported(f"{card.id} takes no mask; leave it out", param="mask")
    elif not request.images:
        yield Missing("a mask needs the picture it belongs to; send image too", param="mask", allowed=("image",))


def _count(request: ImageRequest, card: ModelCard) -> Iterator[BadRequest]:
    most = most_pictures(card)
    if not 1 <= request.n <= most:
        drawn = "1 picture" if most == 1 else f"1 to {most} pictures"
        told = f"n is {request.n}; {card.id} draws {drawn} a request"
        yield OutOfBounds(told, param="n", count=request.n, least=1, most=most)


def _options(request: ImageRequest, card: ModelCard) -> Iterator[BadRequest]:
    for name, value in request.params.items():
        descriptor = card.params.get(name)
        field = (request.user_field if name in END_USER else "") or name
        why = idle(name, request)
        if why and not neutral(value):
            yield Unsupported(f"{name} is about {why}; leave it out", param=name)
        elif descriptor is None:
            if name not in PREFERENCES and not neutral(value):
                yield Unsupported(f"{card.id} does not take {name}; leave it out", param=name)
        elif not takes(value, descriptor) and not (neutral(value) and isinstance(descriptor, Choice)):
            told = f"{field} {_shown(value)} is not allowed; allowed: {', '.join(allowed(descriptor))}"
            yield Unsupported(told, param=field, allowed=_plainly(descriptor))


def _needed(request: ImageRequest, card: ModelCard) -> Iterator[BadRequest]:
    said = {*request.params, *(("mask",) if request.mask else ())}
    for group in card.required:
        if not said.intersection(group):
            told = f"{' or '.join(group)} is required: {card.id} cannot do without"
            yield Missing(told, param=group[0], allowed=group)


def _output(request: ImageRequest, card: ModelCard) -> Iterator[BadRequest]:
    if request.params.get("background") == "transparent" and request.output_format == "jpeg":
        yield Unsupported(
            "a transparent background needs output_format png or webp", param="output_format", allowed=("png", "webp")
        )


def _shown(value: object) -> str:
    return repr(value) if len(repr(value)) <= 60 else repr(value)[:57] + "…"
