"""The live smoke test: the cheapest and smallest picture of a channel, told with its price; then, if that is wanted,
drawn.

Nothing else that the doctor does costs money. What is drawn is what was told, or nothing.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Iterator, Sequence

import msgspec

from pictura.core.errors import (
    BadRequest,
    InsufficientBalance,
    NotFound,
    NotSent,
    PicturaError,
    Refused,
    Rejected,
    Throttled,
    UpstreamError,
)
from pictura.core.model import Choice, ModelCard
from pictura.core.request import ImageRequest
from pictura.core.size import AUTO, TIER_EDGE, FreePixels, ListedPixels, Shapes, Size, Sizes, area, parse
from pictura.doors.desk.act import Act, dollars
from pictura.doors.desk.shapes import Channels, Failure, Page, Trial, Tried
from pictura.engine.gateway import Draft, Outcome
from pictura.store.channels import ChannelRecord
from pictura.store.keys import Key

PROMPT = "a red circle on white"
#: Where a model names no least size: what every model that takes free pixels draws.
USUAL_EDGE = 512

_NO_WORDS = "none of its models draws from words alone at a price that this key's project may pay"

#: What to do about an error, by its class; the first that fits.
_ADVICE: tuple[tuple[type[PicturaError], str], ...] = (
    (InsufficientBalance, "deposit something: pictura balance deposit; or use an admin key of a postpaid project"),
    (Refused, "the vendor refuses even a circle: look at the safety settings of the account there"),
    (BadRequest, "the model's card and the vendor disagree: tell whoever maintains this provider, with the message"),
    (NotSent, "look at the channel's base_url and proxy, at DNS and the firewall: pictura doctor dials it"),
    (Throttled, "wait, or have the account's limit raised at the vendor"),
    (Rejected, "look at the account at the vendor"),
    (UpstreamError, "look at the vendor's own usage page, which says whether it billed this"),
)
#: … and by what a vendor that rejects it answered.
_STATUS_ADVICE = {
    401: "the vendor does not know this key: give the channel another one",
    402: "the account at the vendor is empty: pay something in there",
    403: "this key may not do that: look at its rights and its region at the vendor",
    404: "the account does not have this model, or base_url is wrong: name those it has in the channel's models",
}


class _Offer(msgspec.Struct, frozen=True):
    """A picture that a channel could draw; `cost` micro-USD at the most, None where nobody knows."""

    request: ImageRequest
    model: str
    size: Size
    cost: int | None

    @property
    def rank(self) -> tuple[bool, int, int]:
        return self.cost is None, self.cost or 0, area(self.size)


async def planned(act: Act, asked: Channels) -> Page[Trial]:
    """What would be drawn through each of the channels, and for how much. Nobody is asked."""
    key = _payer(act)
    names = [name for name in asked.names.split(",") if name]
    return Page([_told(record, _cheapest(act, record, key)) for record in _chosen(act, names)])


async def tried(act: Act, wanted: Trial) -> Tried:
    """Draw what `planned` told. Costs money."""
    key = _payer(act)
    record = next((record for record in _chosen(act, ()) if record.name == wanted.channel), None)
    offer = None if record is None else _cheapest(act, record, key)
    if record is None or offer is None or _told(record, offer) != wanted:
        raise BadRequest(f"{wanted.channel[:60]!r} does not draw this picture at this price; ask for the plan again")
    started = time.monotonic()
    try:
        outcome = await _drawn(act, Draft(offer.request, key, "openai", channel=record.name))
    except PicturaError as error:
        return _came(wanted, time.monotonic() - started, Outcome("", offer.request, error=error))
    await act.noted("try channel", record.name, f"{offer.model} {outcome.job_id}")
    return _came(wanted, time.monotonic() - started, outcome)


def sizes_to_try(sizes: Sizes) -> tuple[Size, ...]:
    """The smallest that a model is known to take."""
    if isinstance(sizes, FreePixels):
        says_least = sizes.min_edge or sizes.min_pixels
        square = (_least_square(sizes),) if says_least or not sizes.presets else ()
        return (*square, *_smallest(sizes.presets))
    if isinstance(sizes, ListedPixels):
        return _smallest(sizes.values)
    if isinstance(sizes, Shapes):
        tier = min(sizes.tiers, key=lambda tier: TIER_EDGE.get(tier.upper(), math.inf), default="")
        return (Size(aspect="1:1" if "1:1" in sizes.aspects else "", tier=tier),)
    return (AUTO,)


def _smallest(words: Sequence[str]) -> tuple[Size, ...]:
    return tuple(sorted((parse(word) for word in words if word != "auto"), key=area)[:1])


def _least_square(sizes: FreePixels) -> Size:
    least = max(sizes.min_edge, math.ceil(math.sqrt(sizes.min_pixels))) or USUAL_EDGE
    edge = math.ceil(least / sizes.step) * sizes.step
    return Size(width=edge, height=edge)


def _payer(act: Act) -> Key:
    """The administrator's own key. What it may draw is no matter here: a channel is tried, not a model asked for."""
    if act.key.kind != "live":
        raise BadRequest("a test key spends no money; try channels with a live admin key")
    return msgspec.structs.replace(act.key, models=())


def _chosen(act: Act, names: Sequence[str]) -> list[ChannelRecord]:
    """The enabled channels of these names or providers; without a name all of them. Raises NotFound."""
    live = [record for record in act.house.channels.all() if not record.sandbox and record.enabled]
    for name in names:
        if not any(name in (record.name, record.provider) for record in live):
            there = ", ".join(record.name for record in live) or "none"
            raise NotFound(f"no enabled channel or provider of one is called {name[:60]!r}; there are: {there}")
    return [record for record in live if not names or {record.name, record.provider} & set(names)]


def _cheapest(act: Act, record: ChannelRecord, key: Key) -> _Offer | None:
    planner = act.house.planner
    cards = [listing.card for listing in planner.listings(key) if record in planner.serving(listing.card, key)]
    offers = [offer for card in cards for offer in _offers(act, record, card, key)]
    return min(offers, key=lambda offer: offer.rank, default=None)


def _offers(act: Act, record: ChannelRecord, card: ModelCard, key: Key) -> Iterator[_Offer]:
    for size in sizes_to_try(card.sizes):
        for params in _qualities(card):
            request = ImageRequest(model=card.id, prompt=PROMPT, size=size, params=params)
            try:
                plan = act.house.planner.plan(request, key, record.name)
            except PicturaError:
                continue  # it wants more than words, or a price where there is none
            cost = None if plan.candidates[0].price is None else plan.hold
            yield _Offer(request, plan.card.id, plan.size, cost)


def _qualities(card: ModelCard) -> list[dict[str, object]]:
    known = card.params.get("quality")
    words = [word for word in known.values if word != "auto"] if isinstance(known, Choice) else []
    return [{"quality": word} for word in words] or [{}]


def _told(record: ChannelRecord, offer: _Offer | None) -> Trial:
    if offer is None:
        return Trial(channel=record.name, provider=record.provider, why=_NO_WORDS)
    return Trial(
        channel=record.name,
        provider=record.provider,
        model=offer.model,
        size=str(offer.size),
        quality=str(offer.request.params.get("quality", "")),
        cost=None if offer.cost is None else dollars(offer.cost),
    )


async def _drawn(act: Act, draft: Draft) -> Outcome:
    handle = await act.house.gateway.submit(draft)
    try:
        return await asyncio.shield(handle.outcome)
    finally:
        handle.leave()


def _came(trial: Trial, seconds: float, outcome: Outcome) -> Tried:
    error, result = outcome.error, outcome.result
    picture = result.pictures[0] if result else None
    return Tried(
        channel=trial.channel,
        model=trial.model,
        job=outcome.job_id,
        seconds=round(seconds, 1),
        media_type=picture.media_type if picture else "",
        width=picture.width if picture else 0,
        height=picture.height if picture else 0,
        bytes=picture.bytes if picture else 0,
        cost=None if result is None or result.cost is None else dollars(result.cost),
        error=None if error is None else Failure(type(error).__name__, error.message, error.possibly_billed),
        advice="" if error is None else _advice(error),
    )


def _advice(error: PicturaError) -> str:
    status = error.upstream_status if isinstance(error, Rejected) else None
    by_class = next((advice for kind, advice in _ADVICE if isinstance(error, kind)), "look into the gateway's log")
    return _STATUS_ADVICE.get(status or 0, by_class)
