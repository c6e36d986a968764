"""`pictura generate` and `pictura edit`"""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from functools import partial
from itertools import count
from pathlib import Path
from typing import Annotated

import msgspec
from cyclopts import Parameter

from pictura.core.errors import BadRequest, HouseError, NotSent, PicturaError
from pictura.core.media import FORMATS, Media, normalise_format
from pictura.core.money import show, usd
from pictura.doors.cli.client import Body, Client, Drawn, json_body
from pictura.doors.cli.form import form
from pictura.doors.cli.profile import Entry
from pictura.doors.cli.reach import ANYWHERE, Reach, admin_key, test_key
from pictura.doors.cli.tables import waiting

#: ImageRouter's dialect says in its answer what a picture cost; the prefix names it.
GENERATIONS = "/imagerouter/v1/openai/images/generations"
EDITS = "/imagerouter/v1/openai/images/edits"
MODEL = "gpt-image-2"
#: So much of a prompt makes a file's name.
NAME_CHARS = 40


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class Wish:
    """How the picture should be."""

    model: Annotated[str, Parameter(name=["--model", "-m"], help="Which model draws it, see: pictura models.")] = MODEL
    size: Annotated[str, Parameter(name=["--size", "-s"], help="1024x768, 16:9, 2K or auto.")] = "auto"
    n: Annotated[int, Parameter(name=["--n", "-n"], help="So many pictures.")] = 1
    quality: Annotated[str, Parameter(help="low, medium, high, …: the model's own words.")] = ""
    format: Annotated[
        str,
        Parameter(
            help="png, jpeg, webp or svg; else what --output ends with, else what the gateway gives of the model."
        ),
    ] = ""
    background: Annotated[str, Parameter(help="transparent or opaque.")] = ""
    seed: Annotated[int | None, Parameter(help="The same seed draws alike, where a model knows seeds.")] = None
    option: Annotated[
        tuple[str, ...],
        Parameter(help="A further option of the model, name=value. Repeat for several."),
    ] = ()
    output: Annotated[
        Path | None,
        Parameter(
            name=["--output", "-o"],
            help="File to write, under the ending of what came; else one after the prompt.",
        ),
    ] = None
    sandbox: Annotated[
        bool | None,
        Parameter(
            negative="--live",
            help="Draw in the sandbox, for nothing, or with your own channels; else live where a channel serves it.",
        ),
    ] = None


def generate(prompt: str, /, *, wish: Wish = Wish(), reach: Reach = ANYWHERE) -> None:
    """Draw a picture from words, and save it.

    Parameters
    ----------
    prompt
        What is to be seen.
    """
    _check(wish, reach)
    body = json_body(fields(prompt, wish))
    entry = reach.find()
    if entry is not None:
        _draw(_drawing(entry, wish, reach), GENERATIONS, body, prompt, wish)
        return
    if wish.sandbox is False:
        raise NotSent("no gateway runs here to draw live; start one with: pictura serve")
    from pictura.doors.cli.local import with_gateway

    print("no gateway runs here: a sandbox draws this one (pictura serve starts a gateway)", flush=True)
    with_gateway(lambda local: _draw(Client(local.url, local.test_key), GENERATIONS, body, prompt, wish))


def edit(
    prompt: str = "",
    /,
    *,
    image: Annotated[tuple[Path, ...], Parameter(name=["--image", "-i"])],
    mask: Path | None = None,
    wish: Wish = Wish(),
    reach: Reach = ANYWHERE,
) -> None:
    """Draw a picture from other pictures and words, and save it.

    Parameters
    ----------
    prompt
        What is to be changed or seen.
    image
        A picture to begin with. Repeat for several.
    mask
        A PNG of the first picture's size; what is transparent in it is drawn anew.
    """
    _check(wish, reach)
    entry = reach.find()
    if entry is None:
        raise NotSent("no gateway runs here; start one with: pictura serve (or name one: --url)")
    files = [("image[]", file) for file in image] + ([("mask", mask)] if mask else [])
    body = form(fields(prompt, wish), files)
    _draw(_drawing(entry, wish, reach), EDITS, body, prompt or "edited", wish)


def fields(prompt: str, wish: Wish) -> dict[str, object]:
    """The request, in the dialect's words; what was not said is left out."""
    told: dict[str, object] = {
        "model": wish.model,
        "prompt": prompt,
        "n": wish.n,
        "size": wish.size,
        "quality": wish.quality,
        "background": wish.background,
        "seed": wish.seed,
        "output_format": _format(wish),
        "response_format": "url",
        **dict(_option(text) for text in wish.option),
    }
    return {name: value for name, value in told.items() if value not in ("", None)}


def save(client: Client, drawn: Drawn, prompt: str, output: Path | None) -> list[tuple[Path, Media]]:
    """Every picture into its file. Raises HouseError that says where one that was drawn can still be had."""
    saved = []
    folder = output.parent if output else Path()
    for number, url in enumerate(drawn.urls, 1):
        wanted = output and (_numbered(output, number) if len(drawn.urls) > 1 else output)
        try:
            saved.append(client.save(url, folder, partial(_file, wanted, prompt)))
        except (PicturaError, OSError) as error:
            why = error.message if isinstance(error, PicturaError) else error.strerror or error
            raise HouseError(f"{why}; the picture of {drawn.job} is drawn and kept: {url}") from None
    return saved


def describe(file: Path, media: Media) -> str:
    return f"{file}  {media.width}x{media.height} {media.format}, {file.stat().st_size / 1000:,.0f} KB"


def _draw(client: Client, path: str, body: Body, prompt: str, wish: Wish) -> None:
    started = time.monotonic()
    with waiting(f"{wish.model} draws"):
        drawn = client.draw(path, body)
        saved = save(client, drawn, prompt, wish.output)
    for file, media in saved:
        print(describe(file, media))
    for remark in drawn.remarks:
        print(remark)
    print(
        f"{wish.model}{' in the sandbox' if drawn.sandbox else ''}, {_cost(drawn)}, {time.monotonic() - started:.1f} s"
    )


def _check(wish: Wish, reach: Reach) -> None:
    """What would be noticed too late, once a picture is paid for. Raises BadRequest."""
    if reach.key and wish.sandbox is not None:
        raise BadRequest("--key is a live or a test key by itself; leave --sandbox and --live out")
    folder = wish.output.parent if wish.output else Path()
    if wish.output and wish.output.is_dir():
        raise BadRequest(f"--output {wish.output} is a folder; name a file in it")
    if not folder.is_dir():
        raise BadRequest(f"there is no folder {folder}; make it first, or name a file elsewhere: --output")
    if not os.access(folder, os.W_OK | os.X_OK):
        raise BadRequest(f"nothing can be written into the folder {folder.absolute()}; name a file elsewhere: --output")


def _drawing(entry: Entry, wish: Wish, reach: Reach) -> Client:
    """With the key that was named; else a live one where a channel serves the model, and a test key where none does."""
    if reach.key:
        return Client(entry.url, reach.key)
    live, test = admin_key(entry), test_key(entry)
    sandbox = wish.sandbox
    if sandbox is None:
        sandbox = not live or (bool(test) and not _served(Client(entry.url, live), wish.model))
    key = test if sandbox else live
    if not key:
        kind = "test" if sandbox else "live"
        raise BadRequest(f"no {kind} key for {entry.url} in your profile; pass one with --key or PICTURA_KEY")
    return Client(entry.url, key)


def _served(client: Client, model: str) -> bool:
    from pictura.doors.desk.shapes import ModelShown, Page

    page = client.ask("GET", "/api/models", Page[ModelShown], query={"name": model})
    return any(shown.channels for shown in page.data)


def _format(wish: Wish) -> str:
    """What was said, or the file is called; "": whatever the gateway gives of that model."""
    said = wish.format or (wish.output.suffix.removeprefix(".") if wish.output else "")
    return normalise_format(said) if said else ""


def _option(text: str) -> tuple[str, object]:
    """`steps=30` is a number, `style=vivid` a text: what reads as JSON is JSON."""
    name, equals, value = text.partition("=")
    if not equals:
        raise BadRequest(f"--option {text[:40]!r} is written name=value")
    try:
        return name, msgspec.json.decode(value)
    except msgspec.DecodeError:
        return name, value


def _file(wanted: Path | None, prompt: str, media: Media) -> Path:
    """Where a picture goes: the file that was wanted, under the ending of what came; else one that is not there yet."""
    row = FORMATS[media.format]
    ending = ".jpg" if row.name == "jpeg" else f".{row.name}"
    if wanted is not None:
        ends_so = wanted.suffix.removeprefix(".").lower() in (row.name, *row.aliases)
        return wanted if ends_so else wanted.with_suffix(ending)
    words = "".join(letter if letter.isalnum() else " " for letter in prompt.lower()).split()
    bare = Path(("-".join(words)[:NAME_CHARS].strip("-") or "picture") + ending)
    names = (bare if number == 1 else _numbered(bare, number) for number in count(1))
    return next(name for name in names if not name.exists())


def _numbered(name: Path, number: int) -> Path:
    return name.with_stem(f"{name.stem}-{number}")


def _cost(drawn: Drawn) -> str:
    if drawn.sandbox:
        return "free"
    return "at a cost nobody knows" if drawn.cost is None else show(usd(str(drawn.cost)))
