"""What vendors' answers have in common, whatever their wire format: pictures in them, and words of theirs."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence

from pictura.infra.extract import Cut, find
from pictura.providers.base import Channel, Raw

#: As much of a vendor's message as is passed on.
MESSAGE_CHARS = 500

#: OpenAI repeats a wrong key with its last characters left in: `sk-proj-****************abcd`.
_KEY = re.compile(r"\b(?:sk|pk)-[\w*.-]{4,}")


def said(message: object, via: Channel) -> str:
    """A vendor's own words, fit to be passed on: on one line, not endless, and without our key in them."""
    text = " ".join(message.split()) if isinstance(message, str) else ""
    for secret in sorted(filter(None, via.secrets.values()), key=len, reverse=True):
        text = text.replace(secret, "***")
    text = _KEY.sub("***", text)
    return text[:MESSAGE_CHARS] or "the provider gave no reason"


def mapping(value: object) -> Mapping[str, object]:
    """A JSON object, or an empty one where a vendor put something else."""
    return value if isinstance(value, dict) else {}


def items(value: object) -> Sequence[Mapping[str, object]]:
    """The JSON objects of an array; none where a vendor put something else."""
    return [entry for entry in value if isinstance(entry, dict)] if isinstance(value, list) else []


def picture(values: Iterable[object], cuts: Sequence[Cut]) -> Raw | None:
    """The first of these values that stands for a picture: base64 that was cut out of the answer, or a URL."""
    for value in values:
        if (cut := find(value, cuts)) is not None:
            return Raw(spool=cut.spool, flaw=cut.flaw)
        if isinstance(value, str) and value.startswith(("https://", "http://")):
            return Raw(url=value)
    return None


def close_unused(cuts: Iterable[Cut], pictures: Iterable[Raw]) -> None:
    """Forget what came in an answer and is in none of its pictures."""
    used = {id(raw.spool) for raw in pictures}
    for cut in cuts:
        if id(cut.spool) not in used:
            cut.spool.close()
