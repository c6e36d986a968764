"""A job on its way: its parts side by side, each from channel to channel until one delivers or none may.

What is written when (docs/decisions/004): the first attempts with the job, before anything is sent; a further attempt
before it is sent; a task's id before it is first asked about; everything else in one commit at the end.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine, Iterator, Mapping, Sequence
from contextlib import contextmanager

import msgspec

from pictura.core.errors import HouseError, Lost, Malformed, NotSent, PicturaError, Refused
from pictura.core.model import Anything, ModelCard
from pictura.core.price import Order, Usage, bill
from pictura.core.request import ImageRequest, Turn
from pictura.core.result import Delivered, Piece
from pictura.core.size import Size
from pictura.engine.attempt import Caller, TimedOut
from pictura.engine.deliver import Deliverer, Wish
from pictura.engine.intake import Inputs
from pictura.engine.plan import Candidate, Plan, Planner
from pictura.infra.db import Database, Tx
from pictura.infra.spool import Spool
from pictura.providers.base import Ask, AskPicture, CancellingProvider, Done, Pending, Preview
from pictura.store import jobs
from pictura.store.jobs import Attempt, Job

log = logging.getLogger("pictura.run")


class Finished(msgspec.Struct):
    """A part that delivered. `cost` micro-USD by the delivering channel's price; None: nobody knows."""

    pictures: tuple[Delivered, ...]
    cost: int | None
    usage: Usage | None = None
    texts: tuple[str, ...] = ()
    pieces: tuple[Piece, ...] = ()
    thought_tokens: int = 0
    extras: Mapping[str, object] = {}
    echo: Mapping[str, str] = {}
    adjusted: tuple[str, ...] = ()
    #: Why some of this part's pictures did not come.
    short: PicturaError | None = None


class Tools(msgspec.Struct, frozen=True):
    """What every run needs."""

    database: Database
    planner: Planner
    caller: Caller
    deliverer: Deliverer
    resend_lost: bool = False
    #: A URL under which a vendor may fetch a stored input; "" where nobody out there could.
    link: Callable[[str], str] = lambda key: ""


class Run:
    """`attempts`: the newest of each part, in the database already. `resumed`: another worker made them, and is gone.

    `sent` turns true when the first byte may leave; a job that waits for room at its channel is not sent yet.
    """

    def __init__(
        self,
        tools: Tools,
        job: Job,
        plan: Plan,
        inputs: Inputs,
        *,
        attempts: Sequence[Attempt],
        on_preview: Callable[[Preview], None],
        resumed: bool = False,
    ) -> None:
        self.job = job
        self.sent = resumed
        #: Its end is in the database.
        self.over = False
        #: The client wants no more of it: nobody else is asked.
        self.cancelled = False
        #: Of a hundred, where its vendor tells.
        self.progress: int | None = None
        #: Pictures that need not be read from the store, by key; whoever answers the client closes them.
        self.held: dict[str, Spool] = {}
        self.ended: list[tuple[int, PicturaError | None]] = []
        self._tools = tools
        self._plan = plan
        self._inputs = inputs
        self._on_preview = on_preview
        self._resumed = resumed
        self._attempts = {attempt.part: attempt for attempt in attempts}
        #: Tasks that vendors work at, by the attempt's number.
        self._tasks: dict[int, tuple[Candidate, Pending]] = {}
        self._number = max(attempt.number for attempt in attempts)

    async def parts(self) -> list[Finished | PicturaError]:
        """What came of each part. Only a cancellation is raised."""
        if len(self._attempts) == 1:
            return [await self._part(attempt) for attempt in self._attempts.values()]
        return list(await asyncio.gather(*(self._part(attempt) for attempt in self._attempts.values())))

    async def cancel(self) -> bool:
        """Nobody else is asked, and vendors are asked to stop, those whose answer is still awaited as soon as they gave
        a task id. False: its vendors cannot stop; what they finish is delivered.
        """
        self.cancelled = True
        stopped = [await self._tools.caller.stop(*task) for task in list(self._tasks.values())]
        able = any(isinstance(candidate.provider, CancellingProvider) for candidate in self._plan.candidates)
        return any(stopped) or (not stopped and able)

    async def _part(self, attempt: Attempt) -> Finished | PicturaError:
        try:
            return await (self._resume(attempt) if self._resumed else self._fresh(attempt))
        except PicturaError as error:
            return error

    async def _fresh(self, attempt: Attempt) -> Finished:
        """From channel to channel, beginning with an attempt that is in the database."""
        candidates = list(self._plan.candidates)
        for position, candidate in enumerate(candidates):
            try:
                return await self._try(candidate, attempt)
            except PicturaError as error:
                if isinstance(error, Lost) and self._may_repeat(candidate, error):
                    return await self._repeat(candidate, attempt, error)
                # Nobody else is asked, unless it is certain that nobody was billed.
                if not error.safe_elsewhere or self.cancelled or position + 1 == len(candidates):
                    raise
                attempt = await self._begin(attempt, candidates[position + 1])
        raise HouseError("a job was run without a channel")

    def _may_repeat(self, candidate: Candidate, error: Lost) -> bool:
        """A lost call, where the vendor knows a repeat for one, or the operator pays for two. Never without all of
        the request: what an ephemeral job forgot, or inputs that are gone, cannot be sent again.
        """
        request, inputs = self._plan.request, self._inputs
        whole = len(inputs.images) == len(request.images) and (inputs.mask is None) == (request.mask is None)
        forgotten = self._resumed and request.delivery == "b64_ephemeral"
        wanted = candidate.provider.dedupes or self._tools.resend_lost
        return wanted and whole and not forgotten and not isinstance(error, TimedOut)

    async def _repeat(self, candidate: Candidate, attempt: Attempt, lost: Lost) -> Finished:
        """Once more, under the same client id. A second call that is turned away says nothing about the first."""
        try:
            return await self._try(candidate, await self._begin(attempt, candidate))
        except PicturaError as error:
            if error.possibly_billed or isinstance(error, Refused):
                raise
            raise lost from error

    async def _begin(self, before: Attempt, candidate: Candidate) -> Attempt:
        """A further attempt, in the database before it is sent. A repeat keeps its client id: the vendor knows it."""
        self._number += 1
        repeat = before.channel == candidate.record.name
        attempt = Attempt(
            number=self._number,
            part=before.part,
            pictures=before.pictures,
            channel=candidate.record.name,
            client_id=before.client_id if repeat else client_id(self.job.id, self._number),
        )
        ended = list(self.ended)

        def write(tx: Tx) -> None:
            jobs.begin_attempt(tx, self.job, attempt)
            note_ended(tx, self.job.id, ended)

        await self._tools.database.write(write)
        # Not the first so many: another part may have written, or added, some of its own meanwhile.
        self.ended = [entry for entry in self.ended if entry not in ended]
        return attempt

    async def _try(self, candidate: Candidate, attempt: Attempt) -> Finished:
        async def save(pending: Pending) -> None:
            self._tasks[attempt.number] = (candidate, pending)
            text = msgspec.json.encode(pending).decode()
            try:
                await self._tools.database.write(lambda tx: jobs.save_pending(tx, self.job, attempt.number, text))
            except HouseError as error:
                # The task is paid all the same: it is followed, and its pictures find their way to the job.
                log.error("job %s: its task could not be saved: %s", self.job.id, error.message)
            if self.cancelled:
                await self._tools.caller.stop(candidate, pending)

        with self._noted(attempt):
            ask = self._ask(candidate, attempt)
            done = await self._tools.caller.call(candidate, ask, self._sending, self._on_preview, save, self._polled)
            return await self._delivered(candidate, attempt, done)

    def _polled(self, task: Pending) -> None:
        told = task.state.get("progress", "")
        self.progress = min(100, int(told)) if told.isascii() and told.isdecimal() and len(told) < 4 else self.progress

    def _sending(self) -> None:
        if self.cancelled:
            raise NotSent("this request was cancelled")
        self.sent = True

    @contextmanager
    def _noted(self, attempt: Attempt) -> Iterator[None]:
        """How an attempt failed, for the commit that comes next. A bug ends this part alone: the others are paid."""
        try:
            yield
        except PicturaError as error:
            if isinstance(error, HouseError):
                error.possibly_billed = True  # whatever failed here, its provider was asked
            self.ended.append((attempt.number, error))
            raise
        except Exception as error:
            log.exception("job %s ran into a bug", self.job.id)
            bug = HouseError("something went wrong here; the request id tells the operator where to look")
            bug.possibly_billed = True
            self.ended.append((attempt.number, bug))
            raise bug from error
        finally:
            self._tasks.pop(attempt.number, None)

    async def _resume(self, attempt: Attempt) -> Finished:
        """A part that another worker began: its task is asked about, its stored pictures are found, or it is lost."""
        candidate = self._tools.planner.candidate(attempt.channel, self._plan.card)
        if attempt.error:
            raise jobs.revived(msgspec.json.decode(attempt.error, type=jobs.StoredError))
        stored = await self._tools.deliverer.recover(self._wish(candidate), attempt.part)
        if attempt.pending and len(stored) < attempt.pictures:
            try:
                return await self._follow(candidate, attempt, msgspec.json.decode(attempt.pending, type=Pending))
            except PicturaError:
                if not stored:
                    raise
        if stored:
            self.ended.append((attempt.number, None))
            return self._finished(candidate, stored, Done(pictures=()), None)
        lost = Lost("this gateway stopped while the request was on its way; whether it was billed is not known")
        self.ended.append((attempt.number, lost))
        if self._may_repeat(candidate, lost):
            return await self._repeat(candidate, attempt, lost)
        raise lost

    async def _follow(self, candidate: Candidate, attempt: Attempt, pending: Pending) -> Finished:
        self._tasks[attempt.number] = (candidate, pending)
        with self._noted(attempt):
            done = await self._tools.caller.follow(candidate, pending, self._polled)
            return await self._delivered(candidate, attempt, done)

    async def _delivered(self, candidate: Candidate, attempt: Attempt, done: Done) -> Finished:
        """All pictures of an answer, safe; those that are broken are left out and said to be missing."""
        if not done.pictures:
            raise Malformed(f"{candidate.record.provider} answered without a picture")
        wish = self._wish(candidate)
        deliver = self._tools.deliverer.deliver
        outcomes = await _outcomes(
            [deliver(raw, wish, attempt.part, number, self.held) for number, raw in enumerate(done.pictures)]
        )
        pictures = [outcome for outcome in outcomes if isinstance(outcome, Delivered)]
        failures = [outcome for outcome in outcomes if isinstance(outcome, BaseException)]
        if failures and not pictures:
            raise failures[0]
        self.ended.append((attempt.number, None))
        done.pieces = _whole_pieces(done.pieces, outcomes)
        return self._finished(candidate, pictures, done, failures[0] if failures else None)

    def _finished(
        self, candidate: Candidate, pictures: Sequence[Delivered], done: Done, failure: BaseException | None
    ) -> Finished:
        missing = failure if isinstance(failure, PicturaError) else None
        if failure is not missing:
            log.error("job %s: a picture could not be kept", self.job.id, exc_info=failure)
        return Finished(
            pictures=tuple(pictures),
            cost=self._cost(candidate, pictures, done),
            usage=done.usage,
            texts=done.texts,
            pieces=done.pieces,
            thought_tokens=done.thought_tokens,
            extras=done.extras,
            echo=done.echo,
            adjusted=_adjusted(self._plan, candidate),
            short=missing,
        )

    def _cost(self, candidate: Candidate, pictures: Sequence[Delivered], done: Done) -> int | None:
        """By the operator's price for the channel; else what the vendor itself told of this call; else by the card's
        price for the real pixels, pictures or tokens.
        """
        if candidate.record.sandbox:
            return 0
        if candidate.price is None or (done.cost is not None and not candidate.agreed):
            return done.cost
        sizes = tuple(Size(width=p.width, height=p.height) if p.width else self._plan.size for p in pictures)
        quality = done.echo.get("quality") or str(self._plan.request.params.get("quality", ""))
        order = Order(
            sizes=sizes,
            quality=quality,
            prompt_bytes=len(self._plan.request.whole_prompt.encode()),
            inputs=len(self._plan.request.images),
            previews=self._plan.request.partial_images if self._plan.request.stream else 0,
            usage=done.usage,
        )
        return bill(candidate.price, order)

    def _ask(self, candidate: Candidate, attempt: Attempt) -> Ask:
        request, own = _instructed(self._plan, candidate), candidate.record.params
        return Ask(
            card=_taking(self._plan.card, own),
            native=candidate.native,
            operation=request.operation,
            prompt=request.prompt,
            images=self._linked(),
            mask=self._inputs.mask,
            turns=request.turns,
            system=request.system,
            n=attempt.pictures,
            size=self._plan.size,
            params={**request.params, **own},
            output_format=self._plan.asked_format,
            output_compression=request.output_compression if self._plan.asked_format else None,
            partial_images=request.partial_images if request.stream else 0,
            client_id=attempt.client_id,
            repeated=attempt.client_id != client_id(self.job.id, attempt.number),
        )

    def _linked(self) -> tuple[AskPicture, ...]:
        """The inputs, each with a URL where there is one: some vendors take nothing else."""
        keys = (*self._inputs.keys, *([""] * len(self._inputs.images)))  # an ephemeral job's are not stored
        return tuple(
            image if image.url or not key else msgspec.structs.replace(image, url=self._tools.link(key))
            for image, key in zip(self._inputs.images, keys, strict=False)
        )

    def _wish(self, candidate: Candidate) -> Wish:
        request, asked_format = self._plan.request, self._plan.asked_format
        compress = request.output_compression is not None and asked_format not in candidate.provider.compresses
        # What a client names and the vendor was not told to make, the house makes.
        ours = compress or (request.format_named and request.output_format != asked_format)
        return Wish(
            job_id=self.job.id,
            output_format=request.output_format,
            output_compression=request.output_compression,
            compress=compress,
            relay=candidate.record.relay and not ours and (request.delivery == "url" or not request.delivery_named),
            allow_private=candidate.record.allow_private or candidate.record.sandbox,
            ephemeral=request.delivery == "b64_ephemeral",
            inline=request.delivery != "url" and len(self._plan.parts) == 1,
        )


async def _outcomes(deliveries: Sequence[Coroutine[None, None, Delivered]]) -> Sequence[Delivered | BaseException]:
    """What came of each; mostly there is but one, and no task is made for it."""
    if len(deliveries) > 1:
        return await asyncio.gather(*deliveries, return_exceptions=True)
    try:
        return [await deliveries[0]]
    except Exception as error:
        return [error]


def _instructed(plan: Plan, candidate: Candidate) -> ImageRequest:
    """The request as this provider takes it: what holds for a whole conversation stands first where it knows no such
    thing.
    """
    request = plan.request
    if not request.system or candidate.instructed(plan.card):
        return request
    turns = (Turn("user", (request.system,)), *request.turns) if request.turns else ()
    return msgspec.structs.replace(request, prompt=request.whole_prompt, turns=turns, system="")


def _adjusted(plan: Plan, candidate: Candidate) -> tuple[str, ...]:
    """What this provider was told otherwise than the client said it."""
    return ("systemInstruction→prompt",) if plan.request.system and not candidate.instructed(plan.card) else ()


def _whole_pieces(pieces: Sequence[Piece], outcomes: Sequence[object]) -> tuple[Piece, ...]:
    """Without pictures that were broken; the others by their places among what is left."""
    kept = [number for number, outcome in enumerate(outcomes) if isinstance(outcome, Delivered)]
    places = {number: place for place, number in enumerate(kept)}
    return tuple(
        piece if piece.picture is None else msgspec.structs.replace(piece, picture=places[piece.picture])
        for piece in pieces
        if piece.picture is None or piece.picture in places
    )


def _taking(card: ModelCard, options: Mapping[str, object]) -> ModelCard:
    """The card, which takes what the operator sets on a channel: he knows the account behind it."""
    new = {name: Anything() for name in options if name not in card.params}
    return msgspec.structs.replace(card, params={**card.params, **new}) if new else card


def client_id(job_id: str, number: int) -> str:
    """What a vendor that refuses duplicates is told of an attempt: at most 50 characters (Tencent VOD's SessionId)."""
    return f"{job_id}-{number}"


def first_attempt(job_id: str, plan: Plan, part: int) -> Attempt:
    """The attempt with which a part begins; written with the job."""
    return Attempt(
        number=part,
        part=part,
        pictures=plan.parts[part],
        channel=plan.candidates[0].record.name,
        client_id=client_id(job_id, part),
    )


def note_ended(tx: Tx, job_id: str, ended: Sequence[tuple[int, PicturaError | None]]) -> None:
    """Write down how attempts ended; joins whatever commit comes next."""
    for number, error in ended:
        text = None if error is None else msgspec.json.encode(jobs.stored(error)).decode()
        jobs.end_attempt(tx, job_id, number, text)


def worst(errors: Sequence[PicturaError]) -> PicturaError:
    """The error to tell a client when all parts failed: a refusal first, then what may have been billed."""
    refused = [error for error in errors if isinstance(error, Refused)]
    billed = [error for error in errors if error.possibly_billed]
    return (refused or billed or list(errors))[0]
