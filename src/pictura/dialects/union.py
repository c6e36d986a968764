"""The union of all dialects' request fields, decoded in one place: a body written for one router works at every other.

What a field is called, what kind of value it takes and where it goes stands in the tables below; a dialect adds its
`Habits`. Nothing here knows what a model takes: that is the card's affair.

Sources: the pages of ImageRouter, OmniRouters, QuickRouter, MixRoute and OpenOpen8 (2026-02, documented), OpenAI's
Python SDK 3.52 and new-api's request types (2026-11 and 2026-08, read in source), Gemini's REST API (documented).
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations
from typing import Literal

import msgspec

from pictura.core import ids, size
from pictura.core.errors import BadRequest, Missing, OutOfBounds, Unsupported
from pictura.core.request import END_USER, Body, Delivery, ImageRequest, InputPicture, Turn, Upload, marked
from pictura.core.size import AUTO, Size
from pictura.core.views import Call
from pictura.dialects.base import Habits
from pictura.dialects.kinds import (
    Reader,
    Value,
    anything,
    delivery,
    finite,
    flag,
    integer,
    modalities,
    number,
    picture_format,
    region,
    short,
    shown,
    sized,
    text,
    within,
    word,
    wrong,
)

MAX_PICTURES = 10
MAX_PREVIEWS = 3

#: What `quality` means where a router's page says it in DALL·E's words.
QUALITY_WORDS = {"hd": "high", "standard": "medium"}
#: What says nothing of a picture that loses nothing, or where no group was asked for; routers pass it over.
IDLE = frozenset({"output_compression", "sequential_image_generation_options"})

#: Other spellings of a field, by the name that it has in this module.
_SPELLINGS = {
    "aspectRatio": "aspect_ratio",
    "candidateCount": "n",
    "imageSize": "image_size",
    "image_url": "image",
    "image_urls": "image",
    "images": "image",
    "mime_type": "output_format",
    "negativePrompt": "negative_prompt",
    "outputCompressionQuality": "output_compression",
    "outputMimeType": "output_format",
    "responseModalities": "response_modalities",
    "systemInstruction": "system_instruction",
    "topK": "top_k",
    "topP": "top_p",
    "user_id": "user",
    "watermark_enabled": "watermark",
}
#: Objects whose fields count as if they stood beside them: Qwen's, Gemini's.
_HOLDERS = frozenset({"input", "parameters", "generationConfig", "generation_config", "imageConfig", "image_config"})
#: Conversations: Gemini's and MixRoute's, Qwen's.
_TALKS = ("contents", "messages")
#: Who speaks in them; what the system says counts as the beginning of what the user says.
_ROLES: Mapping[str, Literal["user", "model"]] = {
    "": "user",
    "user": "user",
    "model": "model",
    "assistant": "model",
    "system": "user",
    "developer": "user",
}
_FIRST_ROLES = ("system", "developer")
_SIGNATURES = ("thoughtSignature", "thought_signature")
#: Under which keys an object holds a picture, the first that is said counting.
PICTURE_KEYS = (
    "image_url",
    "url",
    "image",
    "inlineData",
    "inline_data",
    "data",
    "b64_json",
    "fileData",
    "file_data",
    "fileUri",
    "file_uri",
)
_SIZES = ("size", "aspect_ratio", "resolution", "image_size")

_DEEPEST = 32
_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")
_INDEX = re.compile(r"\[\d{0,6}\]$")
_BRANCH = re.compile(r"(\w+)((?:\[[A-Za-z_]\w*\]){1,4})")
_URL = re.compile(r"https?://[^\x00-\x20\x7f]{1,8000}", re.IGNORECASE)

#: Options by canonical name, under which cards list them, each with its kind. A value stays the client's own.
OPTIONS: Mapping[str, Reader[object]] = {
    "background": word,
    "complexity": word,
    "frame_count": integer,
    "frame_duration_ms": integer,
    "guidance_scale": number,
    "input_fidelity": word,
    "input_region": region,
    "moderation": word,
    "negative_prompt": text,
    "optimize_prompt_options": anything,
    "prompt_extend": flag,
    "quality": word,
    "response_modalities": modalities,
    "seed": integer,
    "sequential_image_generation": word,
    "sequential_image_generation_options": anything,
    "steps": integer,
    "strength": number,
    "style": word,
    "svg": anything,
    "temperature": number,
    "top_k": integer,
    "top_p": number,
    "watermark": flag,
}

#: Fields that have a place of their own in an ImageRequest.
_PLACED = frozenset(
    {"model", "prompt", "image", "mask", "n", "stream", "partial_images", "user", "safety_identifier"}
    | {"output_format", "output_compression", "response_format", *_SIZES, *_TALKS, "system_instruction"}
)


def decode_union(call: Call, body: Body, habits: Habits, *, edit: bool) -> ImageRequest:
    """The request that `body` makes. `edit`: it came where pictures are expected.

    Raises BadRequest and its kin, naming the field as the client wrote it; nothing else, whatever came.
    """
    told = Told(body)
    model = told.one("model", word, "") or call.place.get("model", "") or habits.model
    if not model:
        raise Missing(habits.no_model, param="model")
    prompt, images, turns, ignored = _talk(told)
    mask = _mask(told)
    _check_pictures(images, habits, missing=edit and not habits.bare_edits)
    params = told.options()
    user = next((name for name in END_USER if told.says(name)), "")
    asked_sizes = {name: told.one(name, sized, AUTO) for name in _SIZES if told.says(name)}
    named_delivery = told.one("response_format", delivery, None)
    named_format = told.one("output_format", picture_format, "")
    return ImageRequest(
        operation="edit" if images or mask else "generate",
        model=ids.check(model, "model"),
        prompt=prompt,
        images=images,
        turns=turns,
        system=told.one("system_instruction", _instruction, ""),
        mask=mask,
        n=told.one("n", within(1, habits.limits.n or MAX_PICTURES), 1),
        size=_size(told, asked_sizes) if asked_sizes else size.parse(_of_family(model, habits.sizes, "")),
        size_fields=_size_fields(told, asked_sizes),
        params=params,
        extra=told.extra(),
        output_format=named_format or habits.output_format,
        format_named=bool(named_format),
        output_compression=told.one("output_compression", within(0, 100), None),
        delivery=named_delivery or _usual_delivery(model, habits),
        delivery_named=named_delivery is not None,
        stream=told.one("stream", flag, False),
        partial_images=told.one("partial_images", within(0, MAX_PREVIEWS), 0),
        user=told.one(user, text, ""),
        user_field=told.word(user) if user else "",
        words=_said_words(params, habits),
        unknown=habits.unknown,
        harmless=habits.harmless,
        takes=_of_family(model, habits.takes, ()),
        adjustable=habits.adjustable,
        adjusted=ignored,
        max_prompt_chars=habits.limits.prompt_chars,
    )


def unstreamed(request: ImageRequest) -> ImageRequest:
    """The request of a dialect whose bodies ask for no stream: what was said of one is a field that nobody knows."""
    said = {"stream": request.stream, "partial_images": request.partial_images}
    unknown = {name: value for name, value in said.items() if value}
    return msgspec.structs.replace(request, stream=False, partial_images=0, extra={**request.extra, **unknown})


class Said(msgspec.Struct, frozen=True):
    """A value as it was sent: `param` is where it stood (`parameters.seed`), pictures in it are InputPictures."""

    param: str
    value: object


class Told:
    """A body by the names of this module, in the order sent. null and "" are not said."""

    def __init__(self, body: Body) -> None:
        self.form = body.form
        self._said: dict[str, list[Said]] = {}
        fields = _cleaned_object(body.fields, "", body.uploads)
        for name, said in (*_files(body), *_flat(_branched(fields) if body.form else fields)):
            self._said.setdefault(_canonical(name), []).append(said)

    def all(self, *names: str) -> Iterator[tuple[str, Said]]:
        """What was said under these names, in the order in which the names came up."""
        return ((name, said) for name, group in self._said.items() if name in names for said in group)

    def one(self, name: str, read: Reader[Value], default: Value) -> Value:
        """The one value of a field, which may be said twice if it says the same."""
        if name not in self._said:
            return default
        first, *others = self._said[name]
        value = read(first.value, first.param)
        for said in others:
            if read(said.value, said.param) != value:
                told = f"{first.param} and {said.param} say different things; send one of them"
                raise BadRequest(told, param=said.param)
        return value

    def says(self, name: str) -> bool:
        return name in self._said

    def word(self, name: str) -> str:
        """What the client calls this field, which was said."""
        return self._said[name][0].param.rpartition(".")[2]

    def options(self) -> dict[str, object]:
        found = {name: self.one(name, OPTIONS[name], None) for name in self._said if name in OPTIONS}
        return {name: value for name, value in found.items() if value is not None}

    def extra(self) -> dict[str, object]:
        """What no dialect knows."""
        unknown = [name for name in self._said if name not in OPTIONS and name not in _PLACED]
        return {name: self.one(name, anything, None) for name in unknown}


# -- from the body to what is said --


def _cleaned(value: object, param: str, uploads: Sequence[Upload], depth: int = 0) -> object:
    """`value` with its pictures in the place of their marks. Raises for what could not be stored or sent on."""
    if isinstance(value, str):
        index = marked(value)
        return _storable(value, param) if index is None or index >= len(uploads) else _uploaded(index, uploads, param)
    if isinstance(value, dict | list) and depth >= _DEEPEST:
        raise BadRequest(f"{param} is nested more than {_DEEPEST} deep", param=param)
    if isinstance(value, dict):
        return _cleaned_object(value, f"{param}.", uploads, depth + 1)
    if isinstance(value, list):
        return [_cleaned(item, f"{param}[{place}]", uploads, depth + 1) for place, item in enumerate(value)]
    return finite(value, param)


def _cleaned_object(
    fields: Mapping[str, object], path: str, uploads: Sequence[Upload], depth: int = 0
) -> dict[str, object]:
    where = path.rstrip(".") or "the body"
    return {
        _storable(name, where): _cleaned(value, f"{path}{short(name)}", uploads, depth)
        for name, value in fields.items()
    }


def _storable(value: str, param: str) -> str:
    """No database keeps NUL, and half of a surrogate pair has no UTF-8."""
    if _UNSTORABLE.search(value):
        raise BadRequest(f"{param} holds NUL or half of a surrogate pair, which is no text", param=param)
    return value


def _uploaded(index: int, uploads: Sequence[Upload], param: str) -> InputPicture:
    flaw = uploads[index].flaw
    if flaw:
        raise BadRequest(
            f"{param} is no picture that can be read: {flaw}; send a file, an http(s) URL or a base64 data URL",
            param=param,
        )
    return InputPicture(ref=f"upload:{index}")


def _files(body: Body) -> Iterator[tuple[str, Said]]:
    """A form's files, but for those that a browser sends where none was chosen.

    What was cut out of a form's texts is an upload too, but is told by its field.
    """
    texts = [item for value in body.fields.values() for item in (value if isinstance(value, list) else [value])]
    cut = {marked(text) for text in texts}
    for index, upload in enumerate(body.uploads if body.form else ()):
        if index not in cut and (upload.filename or upload.source.size):
            name = _storable(upload.name, "the body")
            yield name, Said(short(name), _uploaded(index, body.uploads, short(name)))


def _branched(fields: Mapping[str, object]) -> dict[str, object]:
    """A form's `svg[model]` as JSON says it: `{"svg": {"model": …}}`."""
    tree: dict[str, object] = {}
    for name, value in fields.items():
        found = _BRANCH.fullmatch(name)
        *way, last = [found[1], *re.findall(r"\w+", found[2])] if found else [name]
        branch = tree
        for step in way:
            inner = branch.setdefault(step, {})
            if not isinstance(inner, dict):
                raise BadRequest(f"{step} is both a value and an object", param=short(name))
            branch = inner
        branch[last] = value
    return tree


def _flat(fields: Mapping[str, object], path: str = "") -> Iterator[tuple[str, Said]]:
    for name, value in fields.items():
        param = f"{path}{short(name)}"
        if value is None or value == "":
            continue
        if name not in _HOLDERS:
            yield name, Said(param, value)
        elif isinstance(value, dict):
            yield from _flat(value, f"{param}.")
        else:
            raise wrong(param, "an object", value)


def _canonical(name: str) -> str:
    base = _INDEX.sub("", name)
    base = _SPELLINGS.get(base, base)
    return base if base in ("image", "mask") else _SPELLINGS.get(name, name)


# -- pictures and conversations --


def _talk(told: Told) -> tuple[str, tuple[InputPicture, ...], tuple[Turn, ...], tuple[str, ...]]:
    """The prompt, the pictures in the order sent, the conversation where it says more, and what was passed over.

    Pictures come from fields of their own and from conversations. What the user says in a conversation is the prompt,
    and wins over a prompt beside it (MixRoute's examples send both).
    """
    images: list[InputPicture] = []
    first: list[Turn] = []
    turns: list[Turn] = []
    for name, said in told.all("image", *_TALKS):
        if name == "image":
            images += _pictures(said.value, said.param)
        else:
            for role, turn in _turns(said.value, said.param, images):
                (first if role in _FIRST_ROLES else turns).append(turn)
    turns = first + turns
    if told.form:
        images.sort(key=_place_in_form)
    prompt = told.one("prompt", text, "")
    spoken = "\n".join(part for turn in turns if turn.role == "user" for part in turn.parts if isinstance(part, str))
    passed_over = bool(prompt and spoken) and prompt.strip() != spoken.strip()
    return (
        spoken or prompt,
        tuple(images),
        tuple(turns) if _says_more(turns) else (),
        ("prompt→the conversation's text",) if passed_over else (),
    )


def _says_more(turns: Sequence[Turn]) -> bool:
    """More than a prompt and its pictures: turns of both sides, or texts between pictures."""
    texts = sum(isinstance(part, str) for turn in turns for part in turn.parts)
    return len(turns) > 1 or (texts > 1 and texts < sum(len(turn.parts) for turn in turns))


def _turns(value: object, param: str, images: list[InputPicture]) -> Iterator[tuple[str, Turn]]:
    """What a conversation says and shows, in turns of `parts` (Gemini, MixRoute) or `content` (Qwen, OpenAI), and who.

    Its pictures are added to `images`. Thoughts that a client sends back are passed over: they are drafts.
    """
    for turn, where in _items(value, param):
        if not isinstance(turn, dict):
            raise wrong(where, "an object with parts or content", turn)
        name = "content" if "content" in turn else "parts"
        parts: list[str | int] = []
        signatures: list[str] = []
        for part, place in _items(turn.get(name), f"{where}.{name}"):
            if isinstance(part, dict) and part.get("thought") is True:
                continue
            for item in _part(part, place):
                if isinstance(item, InputPicture):
                    images.append(item)
                parts.append(item if isinstance(item, str) else len(images) - 1)
                signatures.append(_signature(part, place))
        role = _role(turn.get("role"), f"{where}.role")
        if parts:
            yield role, Turn(_ROLES[role], tuple(parts), tuple(signatures) if any(signatures) else ())


def _role(value: object, param: str) -> str:
    role = "" if value is None else value
    if not isinstance(role, str) or role not in _ROLES:
        raise wrong(param, f"one of {', '.join(filter(None, _ROLES))}", value)
    return role


def _signature(part: object, param: str) -> str:
    """What a vendor signed this part with."""
    if not isinstance(part, dict):
        return ""
    found = next(((part[key], f"{param}.{key}") for key in _SIGNATURES if part.get(key) is not None), ("", param))
    return text(*found)


def _instruction(value: object, param: str) -> str:
    """What holds for a whole conversation: a text, a part that is one, or an object with `parts` (Gemini)."""
    if isinstance(value, dict) and "parts" in value:
        return _instruction(value["parts"], f"{param}.parts")
    if isinstance(value, list):
        return "\n".join(_instruction(item, where) for item, where in _items(value, param))
    if isinstance(value, dict):
        return text(value.get("text"), f"{param}.text")
    return text(value, param)


def _part(part: object, param: str) -> Iterator[str | InputPicture]:
    if not isinstance(part, dict):
        yield text(part, param)
        return
    shows = any(part.get(key) for key in PICTURE_KEYS)
    if part.get("text") is not None:
        yield text(part["text"], f"{param}.text")
    elif not shows:
        raise BadRequest(f"{param} is neither a text nor a picture", param=param)
    if shows:
        yield from _pictures(part, param)


def _items(value: object, param: str) -> list[tuple[object, str]]:
    """The members of a list and where they stand; a value by itself is a list of one."""
    if isinstance(value, list):
        return [(item, f"{param}[{place}]") for place, item in enumerate(value)]
    return [(value, param)]


def _pictures(value: object, param: str) -> Iterator[InputPicture]:
    """Every picture in `value`: an upload, a URL, an object that holds one, or a list of these."""
    if isinstance(value, InputPicture):
        yield value
    elif isinstance(value, list):
        for item, where in _items(value, param):
            yield from _pictures(item, where)
    elif isinstance(value, dict):
        yield from _pictures(*_inside(value, param))
    elif _URL.fullmatch(address := text(value, param).strip()):
        yield InputPicture(ref=address)
    else:
        raise BadRequest(
            f"{param} must be an http(s) URL or a base64 data URL (data:image/png;base64,…), not {shown(value)}",
            param=param,
        )


def _inside(value: Mapping[str, object], param: str) -> tuple[object, str]:
    """What an object holds for a picture: `{"image_url": …}`, `{"url": …}`, `{"inlineData": {"data": …}}`."""
    for key in PICTURE_KEYS:
        if value.get(key):
            return value[key], f"{param}.{key}"
    if value.get("file_id"):
        raise Unsupported(
            f"{param}.file_id names nothing: files are not kept here; send image_url (an http(s) URL or a data URL)",
            param=f"{param}.file_id",
        )
    raise BadRequest(f'{param} holds no picture; write {{"image_url": …}}', param=param)


def _place_in_form(picture: InputPicture) -> float:
    """Files and inlined pictures in the order sent; of a URL in a form nobody knows where it stood."""
    index = picture.ref.removeprefix("upload:")
    return int(index) if index.isdigit() else math.inf


def _mask(told: Told) -> InputPicture | None:
    masks = [mask for _, said in told.all("mask") for mask in _pictures(said.value, said.param)]
    if len(masks) > 1:
        raise OutOfBounds(
            f"{len(masks)} masks were sent; one is taken, for the first picture",
            param="mask",
            count=len(masks),
            most=1,
        )
    return masks[0] if masks else None


def _check_pictures(images: Sequence[InputPicture], habits: Habits, *, missing: bool) -> None:
    most = habits.limits.pictures
    if len(images) > most:
        told = f"{len(images)} pictures were sent; at most {most} are taken"
        raise OutOfBounds(told, param="image", count=len(images), most=most)
    if missing and not images:
        raise Missing("image is required: send the picture to edit, as a file or as image_url", param="image")


# -- the rest of a request --


def _size(told: Told, asked: Mapping[str, Size]) -> Size:
    """One size from up to four fields. Pixels win over words they agree with.

    Fields that contradict each other are refused: whichever was meant, the other picture would cost as much.
    """
    if len(asked) == 1:
        return next(iter(asked.values()))
    for (name, one), (other_name, other) in combinations(asked.items(), 2):
        if _contradict(one, other):
            raise BadRequest(
                f"{told.word(name)} {one} and {told.word(other_name)} {other} contradict each other; send one of them",
                param=told.word(other_name),
            )
    pixels = next((found for found in asked.values() if found.width), AUTO)
    aspect = next((found for found in asked.values() if found.aspect), AUTO)
    tier = next((found for found in asked.values() if found.tier), AUTO)
    return size.combine(pixels, aspect, tier)


def _size_fields(told: Told, asked: Mapping[str, Size]) -> dict[str, str]:
    """Which field said which part of the size, as far as it was not `size`."""
    found: dict[str, str] = {}
    for name, said in asked.items():
        if name != "size":
            parts = {"pixels": said.width, "aspect": said.aspect, "tier": said.tier}
            found.update({part: told.word(name) for part, value in parts.items() if value})
    return found


def _contradict(one: Size, other: Size) -> bool:
    """Pixels need only come near a word: 1344x768 is called 16:9, and 4K is 3840x2160 as well as 4096x4096."""
    alike = bool(one.width) == bool(other.width)
    shapes = [float(size.ratio(asked) or 0) for asked in (one, other)]
    areas = [size.area(asked) for asked in (one, other)]
    return _apart(shapes, 1.0 if alike else 1.1) or _apart(areas, 1.0 if alike else 2.1)


def _apart(pair: Sequence[float], factor: float) -> bool:
    return min(pair) > 0 and max(pair) > factor * min(pair)


def _usual_delivery(model: str, habits: Habits) -> Delivery:
    return _of_family(model, habits.deliveries, habits.delivery)


def _of_family(model: str, table: Mapping[str, Value], otherwise: Value) -> Value:
    """What a table says of models whose names begin like this one's."""
    name = model.lower().rpartition("/")[2]
    return next((value for start, value in table.items() if name.startswith(start)), otherwise)


def _said_words(params: Mapping[str, object], habits: Habits) -> dict[str, dict[str, str]]:
    """Of the router's own words those that were said: a job need not keep the whole table."""
    said = ((name, words, params.get(name)) for name, words in habits.words.items())
    return {name: {value: words[value]} for name, words, value in said if isinstance(value, str) and value in words}
