"""What dialects are shown of the house, to put it into their own words."""

from __future__ import annotations

import re
from collections.abc import Mapping

import msgspec

from pictura.core.errors import BadRequest, PicturaError
from pictura.core.job import JobState
from pictura.core.model import ModelCard
from pictura.core.request import ImageRequest
from pictura.core.result import ImageResult


class ModelView(msgspec.Struct, frozen=True):
    """A model as this caller may use it. `uses`: requests so far; `created_s`: its release date as Unix seconds."""

    card: ModelCard
    providers: tuple[str, ...]
    uses: int
    created_s: int


class KeyUsage(msgspec.Struct, frozen=True):
    """One key's share. Money in micro-USD, times in Unix seconds; `cap` None: none."""

    id: str
    name: str
    spent: int
    requests: int
    created_s: int
    active: bool
    cap: int | None = None
    cap_period: str = ""
    cap_spent: int = 0
    cap_started_s: int = 0
    expires_s: int | None = None
    #: The models it is limited to; none: all.
    models: tuple[str, ...] = ()


class Account(msgspec.Struct, frozen=True):
    """A project's money, micro-USD. `balance` None: postpaid, no limit; `available`: the balance less what is held."""

    balance: int | None
    available: int | None
    spent: int
    deposited: int
    keys: tuple[KeyUsage, ...] = ()
    #: The id of the key that asks.
    asking: str = ""


class JobView(msgspec.Struct, frozen=True):
    """A job as its owner may see it. `progress` 0 to 100, where known."""

    id: str
    project_id: str
    state: JobState
    request: ImageRequest
    created_ms: int
    result: ImageResult | None = None
    error: PicturaError | None = None
    progress: int | None = None
    sandbox: bool = False


class Call(msgspec.Struct, frozen=True, kw_only=True):
    """The HTTP request around a body. `headers` in lower case; `place` the route's own variables.

    `job_id` and `sandbox` are known once there is a job.
    """

    request_id: str
    method: str = "POST"
    path: str = ""
    place: Mapping[str, str] = {}
    query: Mapping[str, str] = {}
    headers: Mapping[str, str] = {}
    job_id: str = ""
    sandbox: bool = False

    @property
    def chinese(self) -> bool:
        """Does the client ask for Chinese before English?"""
        liked = _liked(self.headers.get("accept-language", "").lower())
        return liked.get("zh", 0) > liked.get("en", 0)

    @property
    def later(self) -> bool:
        """Does the client ask for a task instead of waiting, by `?async=true`? Raises BadRequest."""
        said = self.query.get("async", "false")
        if said.lower() not in _LATER:
            told = f"async must be one of {', '.join(_LATER)}, not {said[:40]!r}"
            raise BadRequest(told, param="async", allowed=tuple(_LATER))
        return _LATER[said.lower()]


_LATER = {"true": True, "1": True, "false": False, "0": False}


def _liked(header: str) -> dict[str, float]:
    """By language how much it is liked, from `Accept-Language` (RFC 9110); of equal ones the first a little more."""
    found: dict[str, float] = {}
    for place, entry in enumerate(header.split(",")[:20]):
        tag, _, weight = entry.strip().partition(";")
        said = re.fullmatch(r"\s*q=([01](?:\.[0-9]{0,3})?)\s*", weight)
        liked = float(said[1]) if said else 1.0
        found.setdefault(tag.strip().partition("-")[0], liked and liked - place / 10_000)
    return found
