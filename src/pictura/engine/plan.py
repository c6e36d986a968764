"""From a request to a plan: which model, does it take this, what may it cost, whom to ask in which order.

Nothing is written here and nobody is asked. What a plan is made of is in memory.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence, Set

import msgspec
from msgspec.structs import replace

from pictura.core import capability, size
from pictura.core.datasheet import LOSSY, TRANSCODED, formats
from pictura.core.errors import BadRequest, Forbidden, NotFound, NotSent, PicturaError, RetiredModel, Unsupported
from pictura.core.media import FORMATS
from pictura.core.model import Choice, ModelCard
from pictura.core.price import Order, PerPicture, Price, quote
from pictura.core.request import END_USER, ImageRequest
from pictura.core.size import Size
from pictura.engine.health import Health
from pictura.providers.base import Provider
from pictura.providers.plain import SANDBOX_PATH, PlainProvider
from pictura.store.catalog import Catalog, Listing
from pictura.store.channels import ChannelBook, ChannelRecord
from pictura.store.keys import Key

#: Speaks in the sandbox for every provider that has no simulator of its own.
STAND_IN = PlainProvider()
#: The provider whose models cost nothing and are drawn in the house, with every key.
BUILT_IN = "test"


class Candidate(msgspec.Struct, frozen=True):
    """A channel that can draw this, what it calls the model, and what it takes for it (None: nobody knows).

    `agreed`: the operator named the price, so that it counts more than what the vendor tells of a call.
    """

    record: ChannelRecord
    provider: Provider
    native: str
    price: Price | None
    agreed: bool = False

    def instructed(self, card: ModelCard) -> bool:
        return self.provider.instructed(card, self.native)


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """`parts`: pictures per call; `hold` micro-USD; `asked_format`: what the vendor is asked for ("" its default)."""

    card: ModelCard
    request: ImageRequest
    size: Size
    candidates: tuple[Candidate, ...]
    parts: tuple[int, ...]
    hold: int
    asked_format: str
    adjusted: tuple[str, ...] = ()
    ignored: tuple[str, ...] = ()

    @property
    def sandbox(self) -> bool:
        return self.candidates[0].record.sandbox


class Planner:
    def __init__(
        self, catalog: Catalog, providers: Mapping[str, Provider], channels: ChannelBook, health: Health
    ) -> None:
        self.catalog = catalog
        self.providers = providers
        self.channels = channels
        self._health = health
        #: Who serves what, by model and kind of key; good as long as channels and catalogue are these.
        self._served: dict[tuple[str, str], list[ChannelRecord]] = {}
        self._served_of: tuple[tuple[ChannelRecord, ...], tuple[Listing, ...]] = ((), ())

    def plan(self, request: ImageRequest, key: Key, channel: str = "") -> Plan:
        """With `channel` that one alone, rested or not.

        Raises the CallerError that says what is wrong, or NotSent where nobody can be asked now.
        """
        card = self.find(request.model, key).card
        # A name that is nothing but another spelling (`allowed/secret-model`) must not open what the list keeps shut.
        alias = request.model if self.catalog.rename(request.model) != request.model else card.id
        if not key.may_use((*card.names, alias)):
            limited = f"this key may not use {card.id}; it is limited to {', '.join(key.models)}"
            raise Forbidden(limited, allowed=key.models)
        candidates = self._candidates(card, request, key, channel)
        if card.status == "retired" and not any(c.record.sandbox or c.record.models for c in candidates):
            raise _retired(card)
        fitted = _fitted(request, card)
        problems = capability.check(fitted.request, card)
        if problems:
            raise problems[0]
        if not candidates:
            raise _nobody(card, key)
        candidates = _payable(_hearing(candidates, fitted.request, card), key)
        parts = _parts(request.n, self._at_once(card, candidates))
        return Plan(
            card=card,
            request=fitted.request,
            size=fitted.size,
            candidates=candidates,
            parts=parts,
            hold=_hold(candidates, fitted, parts, card, key),
            asked_format=_asked_format(fitted.request, card),
            adjusted=fitted.request.adjusted,
            ignored=fitted.ignored,
        )

    def plan_again(self, request: ImageRequest, channels: Sequence[str]) -> Plan:
        """The plan of a job that is under way: nothing is judged anew. Raises where its model or channel is gone."""
        sandbox = any(self.channels.get(name).sandbox for name in channels)
        card = self._find(request.model, sandbox=sandbox).card
        fitted = _fitted(request, card)
        candidates = tuple(self.candidate(name, card) for name in dict.fromkeys(channels))
        return Plan(
            card=card,
            request=fitted.request,
            size=fitted.size,
            candidates=candidates,
            parts=_parts(request.n, self._at_once(card, candidates)),
            hold=0,
            asked_format=_asked_format(fitted.request, card),
            adjusted=fitted.request.adjusted,
            ignored=fitted.ignored,
        )

    def find(self, name: str, key: Key | None = None) -> Listing:
        """The listing of the model that `name` means to whoever asks; with its provider's generic card where only a
        channel knows the name. Raises UnknownModel.
        """
        return self._find(name, sandbox=key is not None and key.kind == "test")

    def _find(self, name: str, *, sandbox: bool) -> Listing:
        """The sandbox draws what was switched off, also where the operator leads its name to another model."""
        listing = (self.catalog.retired(name) if sandbox else None) or self.catalog.find(name)
        if listing is not None:
            return listing
        wanted = self.catalog.rename(name)
        for record in self.channels.all():
            if record.enabled and record.models and wanted in record.models:
                generic = self._generic(record, wanted)
                if generic is not None:
                    return generic
        raise self.catalog.unknown(name)

    def listings(self, key: Key | None) -> list[Listing]:
        """What there is for this caller: everything for strangers and in the sandbox, else what a channel serves; of it
        what the key may use.
        """
        everything = list(self.catalog.all())
        if key is None:
            return everything
        if key.kind != "test":
            everything = [listing for listing in everything if self.serving(listing.card, key)] + self.unlisted()
        return [listing for listing in everything if key.may_use(listing.card.names)]

    def unlisted(self) -> list[Listing]:
        """Models that no card describes and a channel names."""
        found: dict[str, Listing] = {}
        for record in self.channels.all():
            for name in record.models or () if record.enabled else ():
                generic = None if self.catalog.find(name) else self._generic(record, name)
                if generic is not None:
                    found.setdefault(name, generic)
        return list(found.values())

    def _generic(self, record: ChannelRecord, name: str) -> Listing | None:
        provider = self.providers.get(record.provider)
        card = None if provider is None else provider.generic(name)
        return None if card is None else Listing(card, record.provider, "channel")

    def serving(self, card: ModelCard, key: Key) -> list[ChannelRecord]:
        """The channels that may draw this model for this key, well or not."""
        everybody, everything = self.channels.all(), self.catalog.all()
        if self._served_of[0] is not everybody or self._served_of[1] is not everything:
            self._served, self._served_of = {}, (everybody, everything)
        found = self._served.get((card.id, key.kind))
        if found is None:
            found = [record for record in everybody if self._serves(record, card, key)]
            self._served[card.id, key.kind] = found
        return found

    def _at_once(self, card: ModelCard, candidates: Sequence[Candidate]) -> int:
        """Pictures of one call that every one of them takes: an aggregator may take fewer than the model's maker."""
        theirs = (self._resold(c.record, c.native, card) for c in candidates)
        return min([card.max_n, *(own.max_n for own in theirs if own)])

    def candidate(self, name: str, card: ModelCard) -> Candidate:
        """The channel of that name, for a job that was already sent to it."""
        record = self.channels.get(name)
        return self._candidate(record, card)

    def _candidates(self, card: ModelCard, request: ImageRequest, key: Key, named: str) -> tuple[Candidate, ...]:
        """Those that are well, in the order in which to ask them. Raises NotSent when all of them rest."""
        serving = self.serving(card, key)
        if named:
            return tuple(self._candidate(record, card) for record in serving if record.name == named)
        # A simulator that was asked to misbehave is as well as ever.
        rests = {r.name: 0.0 if r.sandbox else self._health.rests_s(r.name, card.id) for r in serving}
        well = [record for record in serving if not rests[record.name]]
        if serving and not well:
            soonest = max(1, round(min(rests.values()) + 0.5))
            raise NotSent(
                f"every channel for {card.id} is resting after errors; try again in {soonest} s", retry_after_s=soonest
            )
        region = str(request.params.get("input_region", ""))
        makers = {record.name for record in well if record.provider == self.catalog.owner(card)}
        return tuple(self._candidate(record, card) for record in _ordered(well, region, makers))

    def _candidate(self, record: ChannelRecord, card: ModelCard) -> Candidate:
        provider = self.providers.get(record.provider)
        if provider is None:
            raise NotFound(f"channel {record.name!r} speaks for {record.provider!r}, which is not installed any more")
        if record.sandbox:
            return _imitated(record, provider, card)
        native = _listed_native(record, card) or self._borrowed_native(record, card) or card.native or card.id
        if record.price_per_picture is not None:
            return Candidate(record, provider, native, PerPicture(record.price_per_picture), True)
        # A reseller's card without a price says that nobody knows it: its maker's price is another.
        sold = self._resold(record, native, card) or card
        return Candidate(record, provider, native, sold.price, sold.agreed)

    def _resold(self, record: ChannelRecord, native: str, card: ModelCard) -> ModelCard | None:
        """The card that a reseller has of its own for what it draws here; None: it has none, or makes the model."""
        return None if record.provider == self.catalog.owner(card) else self.catalog.theirs(record.provider, native)

    def _borrowed_native(self, record: ChannelRecord, card: ModelCard) -> str:
        """What a provider calls another's model that it serves as well; "" for its own."""
        provider = self.providers.get(record.provider)
        return "" if provider is None or record.sandbox else provider.SERVES.get(card.id, "")

    def _serves(self, record: ChannelRecord, card: ModelCard, key: Key) -> bool:
        provider = self.providers.get(record.provider)
        if provider is None or not record.enabled:
            return False
        own = self.catalog.owner(card) == record.provider
        if record.sandbox:
            return own and (key.kind == "test" or provider.name == BUILT_IN)
        if key.kind == "test":
            return False
        if record.models is not None:
            return _listed_native(record, card) is not None
        return own or card.id in provider.SERVES


class _Fitted(msgspec.Struct, frozen=True):
    request: ImageRequest
    size: Size
    ignored: tuple[str, ...]


def _fitted(request: ImageRequest, card: ModelCard) -> _Fitted:
    """The request in the model's own words: router words mapped, values adjusted where the dialect says so."""
    adjusted = list(request.adjusted)
    fitted = _fit_size(request, card)
    if not request.size.auto and request.size != fitted and "size" in request.adjustable:
        adjusted += _size_notes(request, card, fitted)
    params = _translated(request, card)
    for name in sorted(request.adjustable - {"size"}):
        useless = capability.idle(name, request) or name not in card.params
        if name in params and useless and not capability.neutral(params[name]):
            adjusted.append(f"{name}={_as_sent(request.params[name])}→none")
            del params[name]
        elif name in params and params[name] != request.params.get(name):
            adjusted.append(f"{name}={_as_sent(request.params.get(name))}→{_as_sent(params[name])}")
    for name in END_USER:
        if request.user and name in card.params:
            params[name] = request.user
            break
    passed, ignored = _extras(request, card)
    output_format, compression = _output(request, card)
    if compression is None and request.output_compression not in (None, 100):
        adjusted.append(f"output_compression={request.output_compression}→none")
    whole = replace(
        request,
        # Clients whose SDK insists on a prompt send a blank one.
        prompt=request.prompt if request.prompt.strip() else "",
        output_format=output_format,
        output_compression=compression,
        params={**params, **passed},
        extra={},
        # For whoever takes the job up, who finds what was left out no more.
        adjusted=tuple(dict.fromkeys(adjusted)),
    )
    return _Fitted(whole, fitted, ignored)


def _as_sent(value: object) -> str:
    """A value as its client may have written it: `true`, not Python's `True`."""
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()


def _fit_size(request: ImageRequest, card: ModelCard) -> Size:
    if "size" in request.adjustable:
        return size.nearest(request.size, card.sizes)
    try:
        return size.fit(request.size, card.sizes)
    except Unsupported as error:
        error.param = request.size_fields.get(_wrong_part(request.size, card), error.param)
        raise


def _wrong_part(asked: Size, card: ModelCard) -> str:
    """Which part of a size that does not fit is to blame; the tier where aspect and tier exclude each other."""
    if asked.width:
        return "pixels"
    try:
        size.fit(Size(aspect=asked.aspect), card.sizes)
    except Unsupported:
        return "aspect"
    return "tier"


def _size_notes(request: ImageRequest, card: ModelCard, fitted: Size) -> list[str]:
    """`size=1000x700→4:3 1K`, or `image_size=3K→2K` where that alone was changed; none for an exact translation."""
    try:
        if size.fit(request.size, card.sizes) == fitted:
            return []
    except Unsupported:
        pass
    asked, fields = request.size, request.size_fields
    if asked.width or fitted.width:
        return [f"{fields.get('pixels', 'size')}={asked}→{fitted}"]
    parts = (("aspect", asked.aspect, fitted.aspect), ("tier", asked.tier, fitted.tier))
    return [f"{fields.get(part, 'size')}={said}→{now or 'none'}" for part, said, now in parts if said and said != now]


def _translated(request: ImageRequest, card: ModelCard) -> dict[str, object]:
    """Params with a router's words in the house's, where the model does not know the router's word itself; a quality
    is taken to the nearest where the dialect does so."""
    params = dict(request.params)
    for name, words in request.words.items():
        value = params.get(name)
        descriptor = card.params.get(name)
        known = isinstance(descriptor, Choice) and value in descriptor.values
        if isinstance(value, str) and value in words and not known:
            params[name] = words[value]
    if "quality" in params and "quality" in request.adjustable:
        params["quality"] = capability.nearest_quality(params["quality"], card.params.get("quality"))
    return params


def _extras(request: ImageRequest, card: ModelCard) -> tuple[dict[str, object], tuple[str, ...]]:
    """Fields that no dialect knows: passed on where the card lists them, else refused or ignored."""
    known = [name for name in request.extra if name in card.params]
    passed = {name: capability.meant(request.extra[name], card.params[name]) for name in known}
    unknown = tuple(name for name in request.extra if name not in card.params)
    strange = [name for name in unknown if name not in request.harmless]
    if strange and request.unknown == "refuse":
        names = ", ".join(sorted(card.params))
        raise BadRequest(
            f"unknown parameter: {strange[0]!r}; beside the common ones {card.id} takes: {names or 'none'}",
            param=strange[0],
        )
    return passed, unknown


def _output(request: ImageRequest, card: ModelCard) -> tuple[str, int | None]:
    """Format and compression; a format that can be compressed is named, so that whoever compresses knows it.

    Raises Unsupported for a compression of what loses nothing by it (OpenAI does so too: reported in public issue
    trackers, 2025-05 to 2026-05, third party), where the dialect does not leave it out.
    """
    wanted, compression = _format(request, card), request.output_compression
    drawn = wanted or card.outputs[0]
    if compression is None or drawn in LOSSY:
        return (wanted if compression is None else drawn), compression
    if compression < 100 and "output_compression" not in request.adjustable:
        raise Unsupported(
            f"output_compression is for jpeg and webp, and this would be {drawn}; ask for another output_format, or "
            "leave output_compression out",
            param="output_compression",
            allowed=("100",),
        )
    return wanted, None


def _format(request: ImageRequest, card: ModelCard) -> str:
    """What the pictures shall be, "" as they come. Raises Unsupported for what is not to be had."""
    wanted, allowed = request.output_format, formats(card)
    if not wanted or wanted in allowed:
        return wanted
    if wanted in TRANSCODED and not request.format_named:
        return ""  # a dialect's usual format is for pixels, and says nothing where vectors alone are drawn
    known = "" if wanted in FORMATS else " (no picture format has this name)"
    raise Unsupported(
        f"output_format {wanted!r} is not had from {card.id}{known}; allowed: {', '.join(allowed)}",
        param="output_format",
        allowed=allowed,
    )


def _asked_format(request: ImageRequest, card: ModelCard) -> str:
    """What the vendor is asked for; "" leaves it its default, which the house converts."""
    return request.output_format if request.output_format in card.outputs else ""


def _parts(n: int, at_once: int) -> tuple[int, ...]:
    whole, rest = divmod(n, at_once)
    return (at_once,) * whole + ((rest,) if rest else ())


def _hearing(candidates: tuple[Candidate, ...], request: ImageRequest, card: ModelCard) -> tuple[Candidate, ...]:
    """Those whom the prompt suits as they will be told it: `system` may be its beginning. Raises where none is left."""
    problem = next(capability.check_prompt(request, card, whole=True), None) if request.system else None
    if problem is None:
        return candidates
    able = tuple(candidate for candidate in candidates if candidate.instructed(card))
    if not able:
        raise problem
    return able


def _payable(candidates: tuple[Candidate, ...], key: Key) -> tuple[Candidate, ...]:
    """For a prepaid project those whose price is known, where there are any: nothing else can be held for."""
    priced = tuple(candidate for candidate in candidates if candidate.price is not None or candidate.record.sandbox)
    return priced if key.project.prepaid and priced else candidates


def _hold(candidates: Sequence[Candidate], fitted: _Fitted, parts: Sequence[int], card: ModelCard, key: Key) -> int:
    """The price on the dearest channel that may be asked; nothing in the sandbox."""
    if candidates[0].record.sandbox:
        return 0
    prices = [candidate.price for candidate in candidates]
    if key.project.prepaid and any(price is None for price in prices):
        raise Forbidden(
            "nobody knows what this model costs, so a prepaid project cannot use it; the operator can say it "
            f'(pictura models set-price {card.id} 0.04), or set price = {{per_picture = "…"}} on its channel'
        )
    shapes = _shapes(fitted.size, card)
    drawn = [_most_pictures(fitted.request, card, pictures) for pictures in parts]
    return max((_dearest(price, fitted.request, drawn, shapes) for price in prices if price is not None), default=0)


def _most_pictures(request: ImageRequest, card: ModelCard, pictures: int) -> int:
    """Of one call: a group may bring more than was counted, up to the model's bound or the client's own."""
    if not card.group_most or not capability.grouped(request):
        return pictures
    options = request.params.get("sequential_image_generation_options")
    asked = options.get("max_images") if isinstance(options, dict) else None
    most = max(1, card.group_most - len(request.images))
    return max(pictures, min(asked, most) if isinstance(asked, int) and asked > 0 else most)


def _dearest(price: Price, request: ImageRequest, parts: Sequence[int], shapes: Sequence[Size]) -> int:
    """Part by part: every call sends the prompt and the inputs again, and pays for them again."""
    return sum(max(quote(price, _order(request, pictures, shape)) for shape in shapes) for pictures in parts)


def _order(request: ImageRequest, pictures: int, shape: Size) -> Order:
    return Order(
        sizes=(shape,) * pictures,
        quality=str(request.params.get("quality", "")),
        prompt_bytes=len(request.whole_prompt.encode()),
        inputs=len(request.images),
        previews=request.partial_images if request.stream else 0,
    )


def _shapes(asked: Size, card: ModelCard) -> tuple[Size, ...]:
    """The size to price; every size the model may choose where it chooses itself."""
    if not asked.auto:
        return (asked,)
    return tuple(size.parse(word) for word in size.allowed(card.sizes) if word != "auto") or (asked,)


def _imitated(record: ChannelRecord, provider: Provider, card: ModelCard) -> Candidate:
    """In the sandbox: by the name that the simulator knows; what no simulator of its own draws, by the plain one."""
    if not provider.sandbox_path:
        return Candidate(record, STAND_IN, card.native or card.id, card.price)
    if card.imitated is None:
        plain = record.base_url.removesuffix(provider.sandbox_path) + SANDBOX_PATH
        return Candidate(replace(record, base_url=plain), STAND_IN, card.native or card.id, card.price)
    return Candidate(record, provider, card.imitated or card.native or card.id, card.price)


def _listed_native(record: ChannelRecord, card: ModelCard) -> str | None:
    """What a channel's own list says the model is called there ("": nothing); None where it does not list it."""
    wanted = {name.lower() for name in card.names}
    return next((native for name, native in (record.models or {}).items() if name.lower() in wanted), None)


def _ordered(records: Sequence[ChannelRecord], region: str, makers: Set[str]) -> list[ChannelRecord]:
    """By region asked for, then priority, then who makes the model before who resells it; the rest drawn by weight."""
    shuffled = sorted(records, key=lambda r: random.random() ** (1 / max(r.weight, 0.001)), reverse=True)
    return sorted(shuffled, key=lambda r: (bool(region) and r.region != region, r.priority, r.name not in makers))


def _retired(card: ModelCard) -> RetiredModel:
    successor = f"; use {card.successor} instead" if card.successor else ""
    return RetiredModel(
        f"{card.id} was switched off by its vendor{f' on {card.ends}' if card.ends else ''}{successor}. "
        "An operator can map the name under [aliases]; test keys still draw it",
        successor=card.successor or None,
    )


def _nobody(card: ModelCard, key: Key) -> PicturaError:
    if key.kind == "test":
        return NotSent(f"the sandbox does not draw {card.id}", config=True)
    return NotSent(
        f"no channel here serves {card.id}; the operator can add one (a provider key in the environment, in "
        "pictura.toml or in the console), and a test key draws it at once",
        config=True,
    )
