"""The one door inside: submit, wait, get, cancel. Every request is a job; sync is submit and wait.

handle = await gateway.submit(draft)
outcome = await handle.outcome
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Sequence
from functools import partial

import msgspec

from pictura.core import ids
from pictura.core.errors import Cancelled, HouseError, Lost, PicturaError, UnknownJob
from pictura.core.job import JobState
from pictura.core.request import ImageRequest, Upload
from pictura.core.result import Delivered, ImageResult, Piece
from pictura.core.views import JobView
from pictura.engine.attempt import TimedOut
from pictura.engine.intake import Inputs, Intake, canonical_hash
from pictura.engine.plan import Plan, Planner
from pictura.engine.run import Finished, Run, Tools, first_attempt, note_ended, worst
from pictura.infra.config import JobSettings
from pictura.infra.db import Database, Tx
from pictura.infra.spool import Spool
from pictura.providers.base import Preview
from pictura.store import jobs
from pictura.store.jobs import Attempt, Job, Superseded
from pictura.store.keys import Key

log = logging.getLogger("pictura.gateway")

#: How long after its first try a request's retry joins it instead of being drawn anew.
RETRY_JOINS_S = 1800


class Draft(msgspec.Struct):
    """A request before it is a job. `retry`: the client says that it sent this before. `channel`: ask no other one."""

    request: ImageRequest
    key: Key
    dialect: str
    uploads: Sequence[Upload] = ()
    picture_cap: int = 25_000_000
    retry: bool = False
    channel: str = ""


class Outcome(msgspec.Struct):
    """What came of a job: `result`, or `error`. `held`: pictures that need not be read from the store; close them."""

    job_id: str
    request: ImageRequest
    result: ImageResult | None = None
    error: PicturaError | None = None
    held: dict[str, Spool] = {}

    def close(self) -> None:
        for spool in self.held.values():
            spool.close()


class Handle:
    """A submitted job. Whoever was given it calls `leave` when done with the outcome; the last one closes it."""

    def __init__(self, job: Job) -> None:
        self.job = job
        self.outcome: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
        self.task: asyncio.Task[None] | None = None
        self.run: Run | None = None
        #: Its task has made its first step: one that is cancelled before never runs at all, not even to clean up.
        self.begun = False
        self.forsaken = False
        self._guests = 1
        self._previews: asyncio.Queue[Preview | None] | None = None

    def join(self) -> Handle:
        self._guests += 1
        return self

    def leave(self) -> None:
        self._guests -= 1
        self._close_when_left()

    @property
    def alone(self) -> bool:
        """Has it one guest at the most?"""
        return self._guests <= 1

    def watch(self) -> asyncio.Queue[Preview | None]:
        """The previews as they come, None at the end. The first to watch gets them; others see the end alone."""
        queue: asyncio.Queue[Preview | None] = asyncio.Queue()
        if self._previews is None and not self.outcome.done():
            self._previews = queue
        else:
            self.outcome.add_done_callback(lambda _: queue.put_nowait(None))
        return queue

    def show(self, preview: Preview) -> None:
        if self._previews is None:
            preview.spool.close()
        else:
            self._previews.put_nowait(preview)

    def resolve(self, outcome: Outcome) -> None:
        if self._previews is not None:
            self._previews.put_nowait(None)
        if self.outcome.cancelled():  # by a guest who awaited it without a shield
            outcome.close()
            return
        self.outcome.set_result(outcome)
        self._close_when_left()

    def _close_when_left(self) -> None:
        if self._guests > 0 or not self.outcome.done():
            return
        if not self.outcome.cancelled():
            self.outcome.result().close()
        while self._previews is not None and not self._previews.empty():
            preview = self._previews.get_nowait()
            if preview is not None:
                preview.spool.close()


class Gateway:
    def __init__(
        self, database: Database, planner: Planner, intake: Intake, tools: Tools, settings: JobSettings, worker_id: str
    ) -> None:
        self._database = database
        self._planner = planner
        self._intake = intake
        self._tools = tools
        self._settings = settings
        self._worker_id = worker_id
        self._running: dict[str, Handle] = {}

    async def submit(self, draft: Draft) -> Handle:
        """Commit 1, then the job runs whether anybody waits or not. Raises what `Planner.plan` and the hold raise."""
        plan = self._planner.plan(draft.request, draft.key, draft.channel)
        job_id = ids.new("job")
        inputs = await self._intake.gather(plan.request, draft.uploads, plan.card, draft.picture_cap)
        try:
            request_hash = canonical_hash(draft.request, inputs)
            earlier = self._earlier(draft, request_hash) if draft.retry else None
            if earlier is not None:
                inputs.close()
                return earlier
            plan = _with_converted(plan, inputs)
            job, attempts = await self._commit(draft, plan, inputs, job_id, request_hash)
        except BaseException:
            await self._intake.forget(inputs)
            raise
        return self._launch(job, plan, inputs, attempts)

    def resume(self, job: Job, attempts: Sequence[Attempt]) -> Handle:
        """Take up a job that another worker left. Raises NotFound where its model or channel is gone."""
        newest = list({attempt.part: attempt for attempt in attempts}.values())
        plan = self._planner.plan_again(job.request, [attempt.channel for attempt in newest])
        inputs = self._intake.reopen(job.request)
        handle = self._launch(job, plan, inputs, newest, resumed=True)
        handle.leave()
        return handle

    def get(self, job_id: str, project_id: str) -> JobView:
        """A job of this project; another's is not found."""
        job = self._database.read(lambda tx: jobs.find(tx, job_id))
        if job is None or job.project_id != project_id:
            raise UnknownJob(f"there is no job {job_id[:60]!r} of yours")
        return JobView(
            id=job.id,
            project_id=job.project_id,
            state=job.state,
            request=job.request,
            created_ms=job.created_ms,
            result=job.result,
            error=None if job.error is None else jobs.revived(job.error),
            progress=self._progress(job_id),
            sandbox=job.sandbox,
        )

    def _progress(self, job_id: str) -> int | None:
        handle = self._running.get(job_id)
        return handle.run.progress if handle and handle.run else None

    def forsake(self, handle: Handle) -> bool:
        """The client has gone: a job that was not sent yet, and that no other guest waits for, is cancelled.

        False: it goes on, and is kept.
        """
        return handle.alone and self._stop(handle)

    def _stop(self, handle: Handle) -> bool:
        if handle.task is None or handle.run is None or handle.run.sent:
            return False
        handle.forsaken = True
        if handle.begun:
            handle.task.cancel()
        return True

    async def cancel(self, job_id: str, project_id: str) -> bool:
        """The client wants it stopped. False: too late, and its vendor cannot stop it either."""
        self.get(job_id, project_id)
        handle = self._running.get(job_id)
        if handle is None or handle.run is None:
            return False
        return self._stop(handle) or await handle.run.cancel()

    async def drain(self, seconds: float) -> None:
        """Wait for what is in flight, `seconds` at the most."""
        tasks = [handle.task for handle in self._running.values() if handle.task]
        if tasks:
            await asyncio.wait(tasks, timeout=seconds)

    @property
    def running(self) -> int:
        return len(self._running)

    async def _commit(
        self, draft: Draft, plan: Plan, inputs: Inputs, job_id: str, request_hash: str
    ) -> tuple[Job, list[Attempt]]:
        ephemeral = _is_ephemeral(draft.request)
        kept = _forgotten(plan.request) if ephemeral else await self._intake.keep(job_id, plan.request, inputs)
        job = Job(
            id=job_id,
            project_id=draft.key.project.id,
            prepaid=draft.key.project.prepaid,
            key_id=draft.key.id,
            worker_id=self._worker_id,
            dialect=draft.dialect,
            model=plan.card.id,
            request=kept,
            request_hash="" if ephemeral else request_hash,
            hold=plan.hold,
            sandbox=plan.sandbox,
            created_ms=time.time_ns() // 1_000_000,
        )
        attempts = [first_attempt(job_id, plan, part) for part in range(len(plan.parts))]
        await self._database.write(lambda tx: jobs.create(tx, job, draft.key, attempts))
        return job, attempts

    def _launch(
        self, job: Job, plan: Plan, inputs: Inputs, attempts: Sequence[Attempt], *, resumed: bool = False
    ) -> Handle:
        handle = Handle(job)
        handle.run = Run(self._tools, job, plan, inputs, attempts=attempts, on_preview=handle.show, resumed=resumed)
        self._running[job.id] = handle
        handle.task = asyncio.create_task(self._run(handle, plan, inputs))
        return handle

    async def _run(self, handle: Handle, plan: Plan, inputs: Inputs) -> None:
        run, job = handle.run, handle.job
        assert run is not None
        outcome = Outcome(job.id, plan.request, held=run.held)
        handle.begun = True
        try:
            if handle.forsaken:
                raise asyncio.CancelledError
            outcome.result = await self._finish(run, plan, await run.parts())
        except asyncio.CancelledError:
            if not handle.forsaken:
                outcome.error = HouseError("this gateway is stopping; the job goes on when it starts again")
                raise
            outcome.error = Cancelled("this request was cancelled before it was sent")
            await self._end(run, JobState.CANCELLED, outcome.error)
        except PicturaError as error:
            outcome.error = error
        except Exception:
            log.exception("job %s ran into a bug", job.id)
            outcome.error = HouseError("something went wrong here; the request id tells the operator where to look")
            await self._end(run, JobState.FAILED, outcome.error)
        finally:
            del self._running[job.id]
            if not run.over:
                inputs.keys.clear()  # whoever takes this job up needs them
            await self._intake.forget(inputs)
            handle.resolve(outcome)

    async def _finish(self, run: Run, plan: Plan, parts: list[Finished | PicturaError]) -> ImageResult:
        """Commit 2. What came is delivered; where nothing came, the worst error is raised, the job ended with it."""
        came = [part for part in parts if isinstance(part, Finished)]
        errors = [part for part in parts if isinstance(part, PicturaError)]
        if not came:
            # What its vendor says of a job that was taken back is its attempts' affair.
            error = Cancelled("this request was cancelled; nothing is charged") if run.cancelled else worst(errors)
            await self._end(run, JobState.CANCELLED if run.cancelled else self._end_state(errors), error)
            raise error
        result, cost = _assembled(run.job, plan, came, errors)
        kept = _forgotten_result(result) if _is_ephemeral(plan.request) else result

        def write(tx: Tx, settle: Callable[[Tx, Job, ImageResult, int | None], ImageResult]) -> ImageResult:
            settled = settle(tx, run.job, kept, cost)
            note_ended(tx, run.job.id, run.ended)
            return settled

        try:
            settled = await self._database.write(partial(write, settle=jobs.succeed))
        except Superseded:
            settled = await self._database.write(partial(write, settle=jobs.resurrect))
        except HouseError as error:
            error.possibly_billed = True
            raise
        run.over = True
        return msgspec.structs.replace(result, cost=settled.cost)

    def _end_state(self, errors: Sequence[PicturaError]) -> JobState:
        if all(isinstance(error, TimedOut) for error in errors):
            return JobState.EXPIRED
        lost = any(isinstance(error, Lost) for error in errors)
        return JobState.UNCERTAIN if lost and self._settings.on_lost == "hold_for_operator" else JobState.FAILED

    async def _end(self, run: Run, state: JobState, error: PicturaError) -> None:
        def write(tx: Tx) -> None:
            jobs.end(tx, run.job, state, error)
            note_ended(tx, run.job.id, run.ended)

        try:
            await self._database.write(write)
        except Superseded:
            log.warning("job %s had its outcome already when it ended here as %s", run.job.id, state)
        except HouseError as problem:
            log.error("job %s could not be ended as %s: %s", run.job.id, state, problem.message)
        else:
            run.over = True

    def _earlier(self, draft: Draft, request_hash: str) -> Handle | None:
        """The job that this retry is a retry of: still running, or ended in a way that must not be paid twice."""
        after = ids.at(time.time() - RETRY_JOINS_S, "job")
        job = self._database.read(lambda tx: jobs.find_same(tx, draft.key, request_hash, after))
        if job is None:
            return None
        running = self._running.get(job.id)
        if running is not None:
            return running.join()
        if job.result is None and not (job.error and job.error.possibly_billed):
            return None
        handle = Handle(job)
        error = None if job.error is None else jobs.revived(job.error)
        handle.resolve(Outcome(job.id, job.request, job.result, error))
        return handle


def _is_ephemeral(request: ImageRequest) -> bool:
    return request.delivery == "b64_ephemeral"


def _with_converted(plan: Plan, inputs: Inputs) -> Plan:
    """The plan, which tells of pictures that were converted; so does the request, for whoever takes the job up."""
    if not inputs.adjusted:
        return plan
    request = msgspec.structs.replace(plan.request, adjusted=(*plan.request.adjusted, *inputs.adjusted))
    return msgspec.structs.replace(plan, request=request, adjusted=(*plan.adjusted, *inputs.adjusted))


def _forgotten(request: ImageRequest) -> ImageRequest:
    """What a job may remember of a request that wants to be forgotten."""
    return msgspec.structs.replace(request, prompt="", images=(), mask=None, turns=(), system="", user="")


def _forgotten_result(result: ImageResult) -> ImageResult:
    """… and of what came: how many pictures, and what they cost."""
    pictures = tuple(Delivered(width=p.width, height=p.height) for p in result.pictures)
    return msgspec.structs.replace(result, pictures=pictures, texts=(), pieces=(), extras={})


def _assembled(
    job: Job, plan: Plan, parts: Sequence[Finished], errors: Sequence[PicturaError]
) -> tuple[ImageResult, int | None]:
    """One result of all parts, and what they cost together (None where nobody knows of one of them)."""
    now_ms = time.time_ns() // 1_000_000
    pictures = tuple(picture for part in parts for picture in part.pictures)
    missing = [*errors, *(part.short for part in parts if part.short)]
    costs = [part.cost for part in parts]
    usages = [part.usage for part in parts if part.usage is not None]
    result = ImageResult(
        created_ms=now_ms,
        pictures=pictures,
        latency_ms=now_ms - job.created_ms,
        usage=sum(usages[1:], usages[0]) if usages else None,
        texts=tuple(text for part in parts for text in part.texts),
        pieces=_pieces(parts),
        thought_tokens=sum(part.thought_tokens for part in parts),
        extras=parts[0].extras,
        echo=parts[0].echo,
        adjusted=tuple(
            dict.fromkeys(
                [*plan.adjusted, *(note for part in parts for note in part.adjusted), *_size_adjusted(plan, pictures)]
            )
        ),
        ignored=plan.ignored,
        short=_short(plan, pictures, missing),
    )
    return result, None if None in costs else sum(cost for cost in costs if cost is not None)


def _pieces(parts: Sequence[Finished]) -> tuple[Piece, ...]:
    """The order of all parts, one after the other; none where one of them says nothing of it."""
    if not all(part.pieces for part in parts):
        return ()
    pieces: list[Piece] = []
    before = 0
    for part in parts:
        pieces += [
            piece if piece.picture is None else msgspec.structs.replace(piece, picture=before + piece.picture)
            for piece in part.pieces
        ]
        before += len(part.pictures)
    return tuple(pieces)


def _size_adjusted(plan: Plan, pictures: Sequence[Delivered]) -> tuple[str, ...]:
    """The vendor drew another size than it was asked for: said, never passed over."""
    if not plan.size.width:
        return ()
    real = {(p.width, p.height) for p in pictures if p.width} - {(plan.size.width, plan.size.height)}
    return tuple(f"size={plan.size}→{width}x{height}" for width, height in sorted(real))


def _short(plan: Plan, pictures: Sequence[Delivered], missing: Sequence[PicturaError]) -> str:
    if len(pictures) >= plan.request.n:
        return ""
    why = missing[0].message if missing else "the provider sent fewer"
    return f"{len(pictures)} of {plan.request.n} pictures: {why}"
