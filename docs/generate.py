"""Writes the pages of docs/reference from the code they describe: `make docs`.

A page says nothing that the code does not say, so that nothing can be wrong in one of the two places only;
tests/test_docs.py fails where a page and the code differ.
"""

from __future__ import annotations

import ast
import inspect
import re
import sys
import textwrap
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import product
from pathlib import Path
from typing import TypeVar, get_args, get_type_hints

import msgspec

from pictura.core import datasheet, errors, job
from pictura.core.errors import BadRequest, PicturaError
from pictura.core.job import TRANSITIONS, JobState
from pictura.core.model import Choice, Descriptor, ModelCard, Source, Span
from pictura.core.money import show
from pictura.core.plugins import discover
from pictura.core.price import Free, Order, PerMegapixel, PerPicture, PerToken, PriceList, bill
from pictura.core.size import FreePixels, ListedPixels, OwnSize, Shapes, Size, bounds
from pictura.core.views import Call
from pictura.dialects.base import POLL_S, TASK_WORDS, Dialect, Habits, Limits, Reply, Route, Verb
from pictura.dialects.union import MAX_PICTURES
from pictura.doors.admin import ENDPOINTS, Endpoint
from pictura.doors.cli import app
from pictura.doors.cli.datasheet import sizes
from pictura.doors.http.sandbox import SANDBOX
from pictura.doors.http.visit import KEY_HEADERS
from pictura.infra import config
from pictura.providers.base import CancellingProvider, Provider, StreamingProvider, TaskProvider

REFERENCE = Path(__file__).parent / "reference"
NOTE = "<!-- Written by docs/generate.py from the code. Change the code, then run: make docs -->\n\n"
SQUARE = Size(width=1024, height=1024)

Kind = TypeVar("Kind")


def pages() -> dict[str, str]:
    """Every generated page: its text by its file's name."""
    written = {
        "settings.md": settings_page(),
        "models.md": models_page(),
        "providers.md": providers_page(),
        "dialects.md": dialects_page(),
        "errors.md": errors_page(),
        "job-states.md": states_page(),
        "cli.md": cli_page(),
        "admin-api.md": admin_page(),
    }
    return {name: NOTE + re.sub(r"\n{3,}", "\n\n", text.strip()) + "\n" for name, text in written.items()}


def main() -> None:
    REFERENCE.mkdir(exist_ok=True)
    for name, text in pages().items():
        (REFERENCE / name).write_text(text)


# -- what all pages are made of --


def ours(package: str, kind: type[Kind]) -> dict[str, type[Kind]]:
    """The plug-ins of this package by name; whatever else is installed here belongs on nobody's page."""
    found, _ = discover(package, package, kind)
    return {name: cls for name, cls in sorted(found.items()) if cls.__module__.startswith("pictura.")}


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(_cell(text) for text in line)} |" for line in lines) + "\n"


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


def code(words: Iterable[str]) -> str:
    return ", ".join(f"`{word}`" for word in words)


def yes(fact: bool) -> str:
    return "yes" if fact else "–"


def first_paragraph(documented: object) -> str:
    return " ".join((inspect.getdoc(documented) or "").partition("\n\n")[0].split())


# -- settings --

_TYPES = {
    "str": "text",
    "int": "integer",
    "float": "number",
    "bool": "true or false",
    "bool | None": "true or false",
    "tuple[str, ...]": "list of texts",
    "Mapping[str, str]": "table of texts",
    "Mapping[str, object]": "table",
    "Mapping[str, Descriptor | bool]": "table",
    "tuple[Mode, ...]": "list of `generate`, `edit`, `inpaint`",
    "Count": "integer",
    "tuple[PriceRow, ...]": "list of tables",
    "tuple[TokenRow, ...]": "list of tables",
    "SizeWindow": "table",
    "ModelInputs": "table",
    "ModelPrice": "table",
    "tuple[str, ...] | Mapping[str, str] | None": "list or table of texts",
    "ChannelPrice": "table",
}
#: Tables within a `[[channel]]` or a `[[model]]`, in the order in which they are told, each after its owner.
_WITHIN = {
    "ChannelSettings": ("ChannelPrice",),
    "ModelSettings": ("ModelPrice", "PriceRow", "TokenRow", "ModelInputs", "SizeWindow"),
}


class Field(msgspec.Struct, frozen=True):
    """A setting as it is declared: annotation and default as source, and the text below it."""

    name: str
    annotation: str
    default: str | None
    text: str


def settings_page() -> str:
    tree = ast.parse(inspect.getsource(config))
    classes = {node.name: node for node in tree.body if isinstance(node, ast.ClassDef)}
    named = [name for name in classes if name.endswith("Settings")]
    told = [classes[part] for name in named for part in (name, *_WITHIN.get(name, ()))]
    sections = [_section(node, classes) for node in told]
    return f"""
# Settings

One file, `pictura.toml`: the one named with `--config`, else the one in the current folder, else none, and then every
default below holds. A word that is not on this page is an error, so a typing mistake does not pass unnoticed. The file
is read once, at start.

{"".join(sections)}
## Dialects

{table(("Table", "Settings"), _dialect_tables())}
## Environment variables

{table(("Variable", "What it does"), _variables(classes["Environment"]))}
`PICTURA_URL`, `PICTURA_KEY` and `PICTURA_LOG` are the command line's: [cli.md](cli.md).

A provider's key that is found under the name its own SDK uses becomes a channel at start, called like the provider,
unless a `[[channel]]` of that provider is in the file. This version speaks to the providers marked *live*; the keys of
the others are not looked at yet.

{table(("Provider", "Variables", "This version"), _provider_variables())}"""


def _dialect_tables() -> Iterator[tuple[str, str]]:
    for name, dialect in ours("pictura.dialects", Dialect).items():  # type: ignore[type-abstract]
        settings = dialect.Settings.__struct_fields__
        if settings:
            yield f"`[dialects.{name}]`", f"{code(settings)}: [what they do](dialects.md#{name})"


def _section(node: ast.ClassDef, classes: Mapping[str, ast.ClassDef]) -> str:
    inherited = [classes[base.id] for base in node.bases if isinstance(base, ast.Name) and base.id in classes]
    title, _, what = (ast.get_docstring(node) or "").partition(": ")
    if node.name == "Settings":
        title = "`[aliases]`"
    return f"## {title}\n\n{what[:1].upper() + what[1:]}\n\n{_setting_table(node, *inherited)}\n"


def _setting_table(*nodes: ast.ClassDef) -> str:
    """The settings that these classes declare; what is a section of its own is left out."""
    fields = [field for node in nodes for field in _fields(node.body) if _type(field)]
    rows = [(f"`{field.name}`", _type(field), _default(field), field.text) for field in fields]
    return table(("Setting", "Type", "Default", "What it does"), rows)


def _fields(body: Sequence[ast.stmt]) -> Iterator[Field]:
    for place, node in enumerate(body):
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            below = body[place + 1] if place + 1 < len(body) else None
            text = below.value.value if isinstance(below, ast.Expr) and isinstance(below.value, ast.Constant) else ""
            default = None if node.value is None else ast.unparse(node.value)
            yield Field(node.target.id, ast.unparse(node.annotation), default, str(text))


def _type(field: Field) -> str:
    """In words; "" for what is a section of its own."""
    if words := re.findall(r"'([^']*)'", field.annotation) if "Literal" in field.annotation else []:
        return " or ".join(f"`{word}`" for word in words)
    bare = re.sub(r"Annotated\[(.+?), Meta\(.*\)\]", r"\1", field.annotation)
    bare = bare.removesuffix(" | None") if bare not in _TYPES else bare
    return _TYPES.get(bare, "")


def _default(field: Field) -> str:
    """As it would be written in the file."""
    if field.default is None:
        return "must be given"
    written = {"True": "true", "False": "false", "()": "[]", "None": "absent"}.get(field.default, field.default)
    return written if written == "absent" else f"`{written.replace(chr(39), chr(34))}`"


def _variables(node: ast.ClassDef) -> Iterator[tuple[str, str]]:
    for member in node.body:
        if isinstance(member, ast.FunctionDef) and (text := ast.get_docstring(member)):
            name, _, what = text.partition(": ")
            yield f"`{name}`", f"{what[:1].upper()}{what[1:]}"


def _provider_variables() -> Iterator[tuple[str, str, str]]:
    for name, provider in ours("pictura.providers", Provider).items():  # type: ignore[type-abstract]
        if provider.env or provider.base_url_env:
            yield f"`{name}`", _variables_of(provider), _reach(provider)


def _variables_of(provider: type[Provider]) -> str:
    optional = [f"{_names(names)} (optional)" for names in provider.optional_env.values()]
    needed = [*provider.env.values(), *filter(None, [provider.base_url_env])]
    return ", ".join([*map(_names, needed), *optional]) or "–"


def _names(names: str) -> str:
    """Of one secret: the variables in which it is looked for, in this order."""
    return " or ".join(f"`{name}`" for name in names.split())


# -- providers and their models --


def _reach(provider: type[Provider]) -> str:
    return "**live**" if provider.live else "sandbox only"


def providers_page() -> str:
    found = ours("pictura.providers", Provider)  # type: ignore[type-abstract]
    head = ("Provider", "What it is", "This version", "Address", "Environment variables", "Models")
    return f"""
# Providers

*Live*: this version speaks the provider's own API, with your key. *Sandbox only*: its models are in the catalogue, a
test key draws them, and a channel for it is refused. Where a server speaks like OpenAI, `provider = "openai"` with a
`base_url` reaches it today: [how to](../how-to/openai-compatible-upstream.md). A key that is found in the environment
under these names becomes a channel at start.

{table(head, [_provider(n, p) for n, p in found.items()])}
## What they can do

What at least one model of the provider can; which one, [models](models.md) says.

{table(_ABILITIES, [_abilities(n, p) for n, p in found.items()])}
*Task ids*: it answers with a task and is asked again; the others answer at once. *Refuses duplicates*: a request whose
answer was lost can be sent again without being paid twice. *Pictures a call*: more are had by several calls. *Any model
name*: a channel may list models that no card describes. *Sandbox*: where its own wire is imitated faithfully on the
gateway's port, open to a test key ([how to](../how-to/sandbox.md)); plain: its models are drawn all the same, but on a
wire of the house's own.

## Options

What a channel may tell its provider beside, `options = {{…}}` in its [settings](settings.md).

{table(("Provider", "Option", "What it is"), _options(found))}"""


def _options(found: Mapping[str, type[Provider]]) -> Iterator[tuple[str, str, str]]:
    for name, provider in found.items():
        for option, what in provider.channel_options.items():
            yield f"`{name}`", f"`{option}`", what


_ABILITIES = (
    *("Provider", "Draws", "Sizes", "Input pictures", "Masks", "Seeds", "Transparent", "Pictures a call"),
    *("Task ids", "Cancel", "Previews", "Refuses duplicates", "Any model name", "Sandbox"),
)
_SIZES = {FreePixels: "free pixels", ListedPixels: "listed pixels", Shapes: "aspects or tiers", OwnSize: "its own"}


def _provider(name: str, provider: type[Provider]) -> tuple[str, ...]:
    models = f"[{len(provider.MODELS)}](models.md#{name})"
    address = f"`{provider.base_url}`" if provider.base_url else "–"
    return (
        f"`{name}`",
        first_paragraph(provider),
        _reach(provider),
        address,
        _variables_of(provider),
        models,
    )


def _abilities(name: str, provider: type[Provider]) -> tuple[str, ...]:
    cards = provider.MODELS
    inputs = max((card.inputs.count for card in cards), default=0)
    path = provider.sandbox_path
    return (
        f"`{name}`",
        ", ".join(dict.fromkeys(mode for card in cards for mode in card.modes)),
        ", ".join(dict.fromkeys(_SIZES[type(card.sizes)] for card in cards)),
        f"up to {inputs}" if inputs else "–",
        yes(any(card.mask for card in cards)),
        yes(any("seed" in card.params for card in cards)),
        yes(any(card.transparent for card in cards)),
        str(max((card.max_n for card in cards), default=1)),
        yes(issubclass(provider, TaskProvider)),
        yes(issubclass(provider, CancellingProvider)),
        yes(issubclass(provider, StreamingProvider)),
        yes(provider.dedupes),
        yes(provider.generic is not Provider.generic),
        f"`{SANDBOX}{path}`" if path else "plain",
    )


def models_page() -> str:
    found = ours("pictura.providers", Provider)  # type: ignore[type-abstract]
    count = sum(len(provider.MODELS) for provider in found.values())
    return f"""
# Models

{count} cards, each beside its provider. A name in the first column resolves in any case, and so do its aliases, the
vendor's own name and ImageRouter's `vendor/name` and `:free` forms.

A price is what the card says a picture costs in dollars; the operator's own `price` on a channel goes before it. Where
the price is by token, the figures are those of one picture of 1024x1024 from a short prompt. *Not known*: a test key
draws it, a live key of a postpaid project too (its cost is told as unknown); a prepaid project needs the operator's
price. *Status* is the vendor's. *Released*: "by" a day, where only the day of the source is known. *Options* are sent
under these names, beside the fields that every dialect has. **Sources are named because they differ in worth: check a
price that matters to you on the vendor's own page.**

{"".join(_provider_models(name, provider) for name, provider in found.items())}"""


def _provider_models(name: str, provider: type[Provider]) -> str:
    sources = list(dict.fromkeys(s for c in provider.MODELS for s in (c.source, c.price_source) if s is not None))
    head = ("Model", "Draws", "Sizes", "Pictures a call", "Takes", "Options", "Price", "Status", "Released", "Sources")
    notes = [f"{place}. {_source(source)}" for place, source in enumerate(sources, 1)]
    rows = [_model(card, sources) for card in provider.MODELS]
    return f"## {name}\n\n{_reach(provider)}\n\n{table(head, rows)}\nSources:\n\n" + "\n".join(notes) + "\n\n"


#: Some models know a hundred styles: `pictura models --json` lists them all.
_SHOWN_WORDS = 8


def _source(source: Source) -> str:
    told = ", ".join(filter(None, (source.date, source.confidence)))
    return f"{source.name} ({told})" if told else source.name


def _model(card: ModelCard, sources: Sequence[Source]) -> tuple[str, ...]:
    names = [name for name in card.names if name != card.id]
    facts = [sources.index(source) + 1 for source in (card.source, card.price_source) if source is not None]
    return (
        f"`{card.id}`" + (f"<br>also {code(names)}" if names else ""),
        ", ".join(card.modes),
        sizes(datasheet.sizes(card.sizes)),
        str(card.max_n) + ("" if card.fan_out else ", and no more"),
        _inputs(card),
        "; ".join(_option(name, descriptor) for name, descriptor in card.params.items()) or "–",
        _price(card),
        _status(card),
        card.released if card.released_known else f"by {card.released}" if card.released else "–",
        ", ".join(str(place) for place in dict.fromkeys(facts)),
    )


def _inputs(card: ModelCard) -> str:
    if not card.inputs.count:
        return "–"
    count = "1 picture" if card.inputs.count == 1 else f"{card.inputs.count} pictures"
    mask = ", a mask" if card.mask else ""
    formats = f"{', '.join(card.inputs.formats)} up to {card.inputs.max_bytes / 1e6:g} MB"
    return "; ".join((f"{count}{mask}: {formats}", *bounds(card.inputs)))


def _option(name: str, descriptor: Descriptor) -> str:
    if isinstance(descriptor, Choice):
        more = len(descriptor.values) - _SHOWN_WORDS
        words = ", ".join(descriptor.values[:_SHOWN_WORDS]) + (f" and {more} more" if more > 0 else "")
        return f"`{name}`: {words}"
    if isinstance(descriptor, Span):
        return f"`{name}`: {descriptor.low:.12g} to {descriptor.high:.12g}"
    return f"`{name}`"


def _price(card: ModelCard) -> str:
    of = card.price
    if of is None:
        return "not known"
    if isinstance(of, Free):
        return "free"
    if isinstance(of, PerPicture):
        return show(of.amount) + (f", and {show(of.input_amount)} for each picture sent" if of.input_amount else "")
    if isinstance(of, PriceList):
        return ", ".join(" ".join((row.quality, row.size, show(row.amount))) for row in of.rows)
    if isinstance(of, PerMegapixel):
        return f"{show(of.first)} the first megapixel, {show(of.further)} each further one"
    each = ", ".join(f"{word} {show(_square(of, word))}" for word in _qualities(card))
    # Nano-dollars a token are thousandths of dollars a million tokens.
    return f"{each} ({show(of.image_out * 1000)} a million tokens of picture)"


def _square(of: PerToken, quality: str) -> int:
    return bill(of, Order(sizes=(SQUARE,), quality=quality))


def _qualities(card: ModelCard) -> list[str]:
    known = card.params.get("quality")
    return [word for word in known.values if word != "auto"] if isinstance(known, Choice) else [""]


def _status(card: ModelCard) -> str:
    if card.status == "live":
        return "live"
    ends = f" {'since' if card.status == 'retired' else 'until'} {card.ends}" if card.ends else ""
    return f"{card.status}{ends}" + (f"; use `{card.successor}`" if card.successor else "")


# -- dialects --


def dialects_page() -> str:
    found = ours("pictura.dialects", Dialect)  # type: ignore[type-abstract]
    return f"""
# Dialects

Which dialect a request speaks is named, never guessed, in this order: the mount prefix; a path that is one dialect's
own; the `Host` header; a header in which the clients of one dialect alone carry their key; the key's own setting; else
`openai` ([why](../decisions/002-dialects-are-named.md)). The operator adds hosts of his own under `[server] hosts`.

Every dialect understands the fields of all of them, so a body that was written for one router works at another. These
infrastructure paths are answered on any Host: `/health`, `/files/…` (pictures), `/api/…` ([admin API](admin-api.md)),
`/sandbox/…` ([vendors' own wires](../how-to/sandbox.md)).

A key is read from `Authorization: Bearer`, else {code(KEY_HEADERS)}, else `?key=`, in every dialect.

## Tasks

In a dialect that has paths for tasks, its paths for pictures answer at once where `?async=true` (or `1`) is asked: with
`id` and `task_id` (the same), `status` and `Retry-After: {POLL_S}`. GET on that path followed by the id tells how the
task stands. Once it is `completed`, what a waiting client would have got stands beside `status`; once it is `failed`,
the error, and its `message` beside it. A task of another project is unknown.

DELETE takes it back: 202 and `"cancelling": true` where it will be stopped, 409 with an error where it goes on all the
same, 200 where it has ended already. What was taken back is `failed`, with an error of its own (our code `cancelled`).

{table(("Status", "Our states"), _task_words())}
{"".join(_dialect(dialect()) for dialect in found.values())}"""


def _task_words() -> Iterator[tuple[str, str]]:
    for word in dict.fromkeys(TASK_WORDS.values()):
        yield f"`{word}`", code(state for state in JobState if TASK_WORDS[state] == word)


def _dialect(dialect: Dialect) -> str:
    module = inspect.getmodule(dialect)
    return f"""## {dialect.name}

{inspect.getdoc(module)}

Mount prefix `{dialect.prefix}`. Hosts: {code(dialect.hosts) or "none"}.{_key_headers(dialect)}

{table(("Method", "Path", "What it does", "Needs a key", "Names this dialect by itself"), _routes(dialect))}
{table(("Habit", "This dialect"), _habits(dialect.habits))}
{_dialect_settings(dialect)}
How it tells errors: [errors.md](errors.md#{dialect.name}).

"""


def _key_headers(dialect: Dialect) -> str:
    return f" A key in {code(dialect.key_headers)} names it too." if dialect.key_headers else ""


def _dialect_settings(dialect: Dialect) -> str:
    if not dialect.Settings.__struct_fields__:
        return ""
    (node,) = ast.parse(inspect.getsource(dialect.Settings)).body
    assert isinstance(node, ast.ClassDef)
    return f"Settings, under `[dialects.{dialect.name}]`:\n\n{_setting_table(node)}"


def _routes(dialect: Dialect) -> Iterator[tuple[str, ...]]:
    """Places that differ in their path alone share a line."""
    lines: dict[tuple[str, ...], list[str]] = {}
    for route in dialect.routes:
        line = route.method, _does(route), "no" if route.open else "yes", yes(route.own)
        lines.setdefault(line, []).append(f"`{route.path.replace(':path', '')}`")
    for (method, *facts), paths in lines.items():
        yield method, "<br>".join(paths), *facts


_DOES = {
    Verb.JOB: "tells how a task stands, and hands over its pictures",
    Verb.CANCEL: "takes a task back, as far as its vendor can be stopped",
}


def _does(route: Route) -> str:
    if route.verb in _DOES:
        return _DOES[route.verb]
    if route.answer is None:
        return "edits a picture" if route.edit else "draws a picture"
    name, told = route.answer.__name__.replace("_", " "), first_paragraph(route.answer)
    return f"{name}: {told}" if told else name


def _habits(habits: Habits) -> Iterator[tuple[str, str]]:
    usual = f"`{habits.delivery}`"
    yield "pictures come as", "; ".join((usual, *_by_family(habits.deliveries)))
    yield "format, where none is asked for", f"`{habits.output_format}`" if habits.output_format else "the model's own"
    yield "size, where none is asked for", "; ".join((*_by_family(habits.sizes), "the model's own"))
    yield "fields that nobody knows", _UNKNOWN[habits.unknown]
    if habits.harmless:
        yield "passed over nevertheless", code(sorted(habits.harmless))
    yield (
        "taken to the nearest allowed value, or left out",
        code(sorted(habits.adjustable)) or "nothing: refused instead",
    )
    for field, words in habits.words.items():
        yield f"words of `{field}`", ", ".join(f"`{said}` means `{meant}`" for said, meant in words.items())
    for start, formats in habits.takes.items():
        yield "pictures converted to what the model takes", f"{code(formats)} for models called `{start}…`"
    yield "an edit without a picture", "draws from the text" if habits.bare_edits else "is refused"
    yield from _limits(habits.limits)


_UNKNOWN = {"refuse": "400, naming the field", "ignore": "ignored, and named in `x-pictura-ignored`"}


def _by_family(table: Mapping[str, str]) -> Iterator[str]:
    for word in dict.fromkeys(table.values()):
        starts = code(f"{start}…" for start, other in table.items() if other == word)
        yield f"`{word}` for models called {starts}"


def _limits(limits: Limits) -> Iterator[tuple[str, str]]:
    yield "pictures in a request", str(limits.pictures)
    edits = limits.edit_picture_bytes
    more = f"; {edits / 1e6:g} MB in an edit" if edits != limits.picture_bytes else ""
    yield "bytes of a picture", f"{limits.picture_bytes / 1e6:g} MB{more}"
    yield "text in a request", f"{limits.text_bytes // 1024} KB beside the pictures"
    yield "characters of a prompt", f"{limits.prompt_chars:,}" if limits.prompt_chars else "the model's own limit"
    yield "pictures drawn for a request", f"{limits.n or MAX_PICTURES}"


# -- errors --


def errors_page() -> str:
    kinds = _classes()
    drawn = re.search(r"^    PicturaError\n(?:    .*\n)+", inspect.getsource(errors), re.MULTILINE)
    assert drawn is not None
    tree = "\n".join(line[4:] for line in drawn[0].splitlines())
    spoken = ours("pictura.dialects", Dialect)  # type: ignore[type-abstract]
    return f"""
# Errors

Every error says whose fault it is, whether another channel may be asked, and whether somebody may have been billed.
An answer carries the request id in its body and in the header `x-request-id`; `Retry-After` where waiting helps;
`x-should-retry: false` where somebody was possibly billed or where only money helps (OpenAI's SDKs obey it).

```text
{tree}
```

{table(("Class", "Code", "Status", "Another channel may be asked", "Possibly billed", "Meaning"), _kinds(kinds, tree))}
A provider file may mark a single failure as unbilled; then another channel is asked. Who pays for a lost answer:
[concepts](../concepts.md#who-pays-when-an-answer-is-lost).

{"".join(_told(name, dialect) for name, dialect in spoken.items())}"""


def _classes() -> list[type[PicturaError]]:
    return [kind for kind in vars(errors).values() if inspect.isclass(kind) and issubclass(kind, PicturaError)]


def _kinds(kinds: Sequence[type[PicturaError]], tree: str) -> Iterator[tuple[str, ...]]:
    drawn = dict(re.findall(r"[├└]─ (\w+) +(.+)", tree))
    for kind in kinds:
        meaning = drawn.get(kind.__name__) or (first_paragraph(kind) if "__doc__" in vars(kind) else "")
        where = f"`{kind.code}`", str(kind.status), yes(kind.safe_elsewhere), yes(kind.possibly_billed)
        yield f"`{kind.__name__}`", *where, meaning[:1].upper() + meaning[1:]


def _told(name: str, dialect: type[Dialect]) -> str:
    coded = any(row.code is not None for row in dialect.errors.values())
    rows = [
        (f"`{ours}`", str(row.status), f"`{row.type}`", *([_code(row.code)] if coded else []))
        for ours, row in dialect.errors.items()
    ]
    head = ("Our code", "Status", "Its word for the kind", *(["Its code"] if coded else []))
    return f"## {name}\n\n{_samples(dialect())}\n{table(head, rows)}\n"


def _code(word: str | int | None) -> str:
    return "–" if word is None else f"`{word}`" if word != "" else "empty"


def _samples(dialect: Dialect) -> str:
    """An error as it is written, and those that are written otherwise."""
    usual = BadRequest("n must be an integer from 1 to 10, not 11", param="n")
    samples = {_fields_of(dialect, usual, "POST"): f"An error:\n\n{_sample(_reply(dialect, usual))}"}
    for method, kind in product(("POST", "GET"), _classes()):
        error = kind("why, and what to do")
        reply = _reply(dialect, error, method)
        title = f"`{kind.code}`{' for GET' if method == 'GET' else ''}, status {reply.status}"
        samples.setdefault(_fields_of(dialect, error, method), f"{title}:\n\n{_sample(reply)}")
    chinese = _reply(dialect, usual, language="zh").body != _reply(dialect, usual).body
    more = ["Messages are Chinese where `Accept-Language` asks for that first.\n"] if chinese else []
    return "\n".join([*samples.values(), *more])


def _reply(dialect: Dialect, error: PicturaError, method: str = "POST", language: str = "") -> Reply:
    return dialect.error(Call(request_id="req_…", method=method, headers={"accept-language": language}), error)


def _fields_of(dialect: Dialect, error: PicturaError, method: str) -> str:
    """The names of an error's fields, whatever stands in them; those that tell of a parameter too."""
    error.param, param = "n", error.param
    written = _sample(_reply(dialect, error, method))
    error.param = param
    return re.sub(r'(": )("[^"]*"|\d+|null)', r"\1", written)


def _sample(reply: Reply) -> str:
    written = msgspec.json.format(msgspec.json.encode(reply.body), indent=2).decode()
    return f"```json\n{written}\n```\n"


# -- states of a job --

MEANINGS: Mapping[JobState, str] = {
    JobState.QUEUED: "accepted, and nobody is asked yet",
    JobState.SUBMITTING: "a provider is being asked; every attempt is on disk before its first byte leaves",
    JobState.WAITING: "the provider gave a task id, which is on disk; it is asked about until it is done",
    JobState.DELIVERING: "the pictures are being fetched, checked and stored",
    JobState.SUCCEEDED: "the pictures are stored and settled",
    JobState.FAILED: "nothing came; the hold was released, or charged where an operator decided so",
    JobState.CANCELLED: "taken back, before anything was sent or by its vendor; the hold was released",
    JobState.EXPIRED: "the provider did not finish within `[jobs] timeout_s`; the hold was released",
    JobState.UNCERTAIN: 'sent and never answered, under `on_lost = "hold_for_operator"`; the hold is kept until '
    "`pictura jobs resolve`",
}


def states_page() -> str:
    rows = [(f"`{state}`", MEANINGS[state], yes(state.terminal), code(_next(state)) or "–") for state in JobState]
    drawn = re.search(r"^    queued.*\n(?:    .*\n)*", job.__doc__ or "", re.MULTILINE)
    assert drawn is not None
    return f"""
# States of a job

```text
{textwrap.dedent(drawn[0]).rstrip()}
```

{table(("State", "Meaning", "Final", "May turn into"), rows)}
`failed` → `succeeded` happens once, when a picture that was paid for turns up late.
"""


def _next(state: JobState) -> list[str]:
    return [other.value for other in JobState if other in TRANSITIONS[state]]


# -- the doors --


def cli_page() -> str:
    arguments = sys.argv
    # Groups are called after the program that runs, and that is another one here.
    sys.argv = ["pictura"]
    try:
        text: str = app.generate_docs(output_format="markdown")
    finally:
        sys.argv = arguments
    return text.replace("```console", "```text")


def admin_page() -> str:
    answered = dict.fromkeys(_answered(endpoint)[0] for endpoint in ENDPOINTS)
    return f"""
# Admin API

What the command line is made of. A path needs a key with the scope `admin`, as `Authorization: Bearer <key>`; where the
table says so, any key will do. Takes and gives JSON; for GET and DELETE the fields stand in the query. Money is text in
dollars (`"12.50"`), times are RFC 3339. An error is `{{"error": {{"code", "message", "param", "request_id"}}}}` under
its own status ([codes](errors.md)). Fields with a star must be given.

{table(("Method", "Path", "Key", "Takes", "Answers"), [_endpoint(endpoint) for endpoint in ENDPOINTS])}
A channel's fields are those of a `[[channel]]` in the [settings](settings.md), but for `api_key_env`; a model's are
those of a `[[model]]`, but for `id`, which stands in the path.

## What is answered

{table(("Shape", "Fields", "Meaning"), [_shape(kind) for kind in answered])}"""


def _endpoint(endpoint: Endpoint[msgspec.Struct]) -> tuple[str, ...]:
    kind, many = _answered(endpoint)
    taken = [f"{field.name}{'*' if field.required else ''}" for field in msgspec.structs.fields(endpoint.takes)]
    answer = f'`{{"data": [{kind.__name__}, …]}}`' if many else f"`{kind.__name__}`"
    path = endpoint.path.replace(":path", "")
    return endpoint.method, f"`/api{path}`", endpoint.scope or "any", code(taken) or "–", answer


def _answered(endpoint: Endpoint[msgspec.Struct]) -> tuple[type[msgspec.Struct], bool]:
    """The shape of an endpoint's answer, and whether it is a list of them."""
    answered = get_type_hints(endpoint.answer)["return"]
    inner = get_args(answered)
    return (inner[0], True) if inner else (answered, False)


def _shape(kind: type[msgspec.Struct]) -> tuple[str, ...]:
    told = first_paragraph(kind) if kind.__doc__ else ""
    return f"`{kind.__name__}`", code(field.name for field in msgspec.structs.fields(kind)) or "none", told


if __name__ == "__main__":
    main()
