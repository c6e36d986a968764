"""What vendors' answers have in common, whatever their wire format: pictures in them, and words of theirs."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Annotated
from urllib.parse import unquote

import msgspec

from pictura.core.errors import BadRequest, Lost, Malformed
from pictura.core.money import usd
from pictura.infra.dial import BadUrl, parse_url
from pictura.infra.extract import Cut, find
from pictura.infra.http import Answer
from pictura.infra.sse import Event
from pictura.providers.base import Channel, Raw, unreadable

#: As much of a vendor's message as is passed on.
MESSAGE_CHARS = 500
#: Longer than any code or name of a field.
WORD_CHARS = 100
#: What is longer does not fit into the URL that would ask about it.
ID_CHARS = 6_000
#: Beyond these a bill is a mistake, and soon more than a ledger can add up; a picture is worth more than its bill.
DEAREST_USD = 10_000
MOST_TOKENS = 1_000_000_000
#: How many of them a vendor counted.
Tokens = Annotated[int, msgspec.Meta(ge=0, le=MOST_TOKENS)]

#: OpenAI repeats a wrong key with its last characters left in: `sk-proj-****************abcd`.
_KEY = re.compile(r"\b(?:sk|pk)-[\w*.-]{4,}")
_BLANKS = re.compile(r"[\s\x00-\x1f\x7f-\x9f]+")
_PLAIN = re.compile(r"[!-~]+")


def said(message: object, via: Channel) -> str:
    """A vendor's own words, fit to be passed on: on one line, not endless, and without our key in them."""
    text = _BLANKS.sub(" ", message).strip() if isinstance(message, str) else ""
    for secret in sorted(filter(None, via.secrets.values()), key=len, reverse=True):
        text = text.replace(secret, "***")
    text = _KEY.sub("***", text)
    return text[:MESSAGE_CHARS] or "the provider gave no reason"


def word(value: object) -> str:
    """A vendor's code or name of a field, fit to be passed on; "" for what is none."""
    return value if isinstance(value, str) and len(value) <= WORD_CHARS and value.isprintable() else ""


def code_of(value: object) -> str:
    """A vendor's code, of those that may be a number too."""
    return word(str(value) if type(value) is int else value)


def task_id(value: object) -> str:
    """A task's id, fit to be kept and to stand in a path; "" for what is none.

    Dots alone lead out of the path that they stand in, however they are quoted.
    """
    if not isinstance(value, str) or len(value) > ID_CHARS or not value.isprintable():
        return ""
    return value if value.strip(". ") else ""


def kept_url(url: object, via: Channel, is_vendors: Callable[[str], bool]) -> str:
    """A URL that a vendor wants to be asked later: below the channel's own address without that, which may change;
    else whole, where its host is the vendor's.

    "" for one that leads elsewhere: it would be told our key.
    """
    if not isinstance(url, str) or len(url) > ID_CHARS or not _PLAIN.fullmatch(url):
        return ""
    try:
        found = parse_url(url)
    except BadUrl:
        return ""
    if ".." in unquote(found.raw_path).split("/"):
        return ""
    base = via.base_url.rstrip("/")
    if url.startswith(f"{base}/"):
        return url.removeprefix(base)
    return url if found.scheme == "https" and is_vendors(found.host or "") else ""


def whole(value: object) -> int | None:
    """A seed, say: an integer, and neither true nor false."""
    return value if type(value) is int else None


def micro_usd(dollars: object) -> int | None:
    """Micro-USD of the cost that a vendor tells in dollars; None for what is none, or cannot be."""
    if isinstance(dollars, bool) or not isinstance(dollars, int | float) or not 0 <= dollars <= DEAREST_USD:
        return None
    return usd(str(dollars))


@contextmanager
def question(answer: Answer) -> Iterator[None]:
    """Around the reading of an answer about a task: a question that failed is not the task's end, and is put again."""
    try:
        yield
    except (BadRequest, Malformed) as error:
        raise Lost(error.message, upstream_status=answer.status) from error


def mapping(value: object) -> Mapping[str, object]:
    """A JSON object, or an empty one where a vendor put something else."""
    return value if isinstance(value, dict) else {}


def items(value: object) -> Sequence[Mapping[str, object]]:
    """The JSON objects of an array; none where a vendor put something else."""
    return [entry for entry in value if isinstance(entry, dict)] if isinstance(value, list) else []


def document_of(answer: Answer) -> Mapping[str, object]:
    """An answer's JSON object, an empty one where there is none."""
    try:
        return mapping(answer.json())
    except Malformed:
        return {}


def readable(answer: Answer) -> Mapping[str, object]:
    """An answer's JSON object. Raises Malformed where a good answer is no JSON, and `unreadable` where another is."""
    try:
        return mapping(answer.json())
    except Malformed:
        if answer.status < 300:
            raise
        raise unreadable(answer) from None


def picture(
    values: Iterable[object], cuts: Sequence[Cut] = (), *, seed: object = None, revised_prompt: object = ""
) -> Raw | None:
    """The first of these values that stands for a picture: base64 that was cut out of the answer, or a URL.

    `seed` and `revised_prompt` are what the vendor says of it, whatever that is.
    """
    raw = next(filter(None, (_raw(value, cuts) for value in values)), None)
    if raw is not None:
        raw.seed = whole(seed)
        raw.revised_prompt = revised_prompt if isinstance(revised_prompt, str) else ""
    return raw


def _raw(value: object, cuts: Sequence[Cut]) -> Raw | None:
    if (cut := find(value, cuts)) is not None:
        return Raw(spool=cut.spool, flaw=cut.flaw)
    if isinstance(value, str) and value.startswith(("https://", "http://")):
        return Raw(url=value)
    return None


@contextmanager
def closed_on_error(came: Answer | Event) -> Iterator[None]:
    """Forget what came in an answer, or an event of a stream, that turns out to be none."""
    try:
        yield
    except BaseException:
        came.close()
        raise


def close_unused(cuts: Iterable[Cut], pictures: Iterable[Raw]) -> None:
    """Forget what came in an answer and is in none of its pictures."""
    used = {id(raw.spool) for raw in pictures}
    for cut in cuts:
        if id(cut.spool) not in used:
            cut.spool.close()
