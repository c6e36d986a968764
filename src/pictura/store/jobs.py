"""Jobs and their attempts: rows that say what was promised, what was sent and what came of it.

Everything here runs inside the caller's transaction, so that a job's state and its money are one commit. Writing to a
job needs the epoch under which it was taken: a worker that was declared dead and wakes up again is refused.
"""

from __future__ import annotations

from typing import Literal

import msgspec

from pictura.core import errors
from pictura.core.errors import BadRequest, HouseError, NotFound, PicturaError
from pictura.core.job import JobState, may
from pictura.core.request import ImageRequest
from pictura.core.result import ImageResult
from pictura.infra.db import Row, Tx
from pictura.store import ledger
from pictura.store.keys import Key

AttemptState = Literal["sending", "pending", "done", "failed"]


class Superseded(HouseError):
    """Another worker has taken this job over, or it has ended: what this one knows comes too late."""

    code = "superseded"


class StoredError(msgspec.Struct, frozen=True, omit_defaults=True):
    """An error of the tree as a job keeps it."""

    kind: str
    message: str
    param: str | None = None
    allowed: tuple[str, ...] = ()
    retry_after_s: int | None = None
    possibly_billed: bool = False
    reason: str = ""
    by: str = ""


class Attempt(msgspec.Struct, kw_only=True):
    """One call to one channel for one part of a job. `pictures`: how many it asks for."""

    number: int
    part: int
    pictures: int
    channel: str
    client_id: str
    state: AttemptState = "sending"
    pending: str | None = None
    error: str | None = None


class Job(msgspec.Struct, kw_only=True):
    """A request on its way. Money in micro-USD, times in Unix milliseconds. `prepaid` is its project's."""

    id: str
    project_id: str
    prepaid: bool
    key_id: str
    worker_id: str
    dialect: str
    model: str
    request: ImageRequest
    request_hash: str
    hold: int
    state: JobState = JobState.SUBMITTING
    epoch: int = 0
    sandbox: bool = False
    cost: int | None = None
    result: ImageResult | None = None
    error: StoredError | None = None
    created_ms: int = 0
    finished_ms: int | None = None


def create(tx: Tx, job: Job, key: Key, first: list[Attempt]) -> None:
    """Commit 1: the hold, the job and its first attempts. Raises for money before anything is written."""
    ledger.hold(tx, key, job.hold)
    tx.run(
        "INSERT INTO jobs (id, project_id, key_id, state, epoch, worker_id, dialect, model, sandbox, request, "
        "request_hash, hold, created_ms) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            job.id,
            job.project_id,
            job.key_id,
            job.state.value,
            job.epoch,
            job.worker_id,
            job.dialect,
            job.model,
            job.sandbox,
            msgspec.json.encode(job.request).decode(),
            job.request_hash,
            job.hold,
            job.created_ms,
        ),
    )
    for attempt in first:
        _insert_attempt(tx, job.id, attempt)


def begin_attempt(tx: Tx, job: Job, attempt: Attempt) -> None:
    """Before a further call is made: it is written down, so that a crash cannot make it twice."""
    _move(tx, job, JobState.SUBMITTING)
    _insert_attempt(tx, job.id, attempt)


def save_pending(tx: Tx, job: Job, number: int, pending: str) -> None:
    """The vendor has a task: its id, before it is asked about it for the first time."""
    _move(tx, job, JobState.WAITING)
    tx.run(
        "UPDATE attempts SET state = 'pending', pending = ? WHERE job_id = ? AND number = ?", (pending, job.id, number)
    )


def end_attempt(tx: Tx, job_id: str, number: int, error: str | None = None) -> None:
    tx.run(
        "UPDATE attempts SET state = ?, error = ?, ended_ms = ? WHERE job_id = ? AND number = ?",
        ("done" if error is None else "failed", error, tx.now_ms(), job_id, number),
    )


def succeed(tx: Tx, job: Job, result: ImageResult, cost: int | None) -> ImageResult:
    """Commit 2: the result, the settlement and the pictures. Gives the result with what was charged."""
    charged = ledger.chargeable(job.prepaid, job.hold, cost)
    settled = msgspec.structs.replace(result, cost=charged)
    # First what may be refused: a unit that fails before it writes does not disturb its group.
    _finish(tx, job, JobState.SUCCEEDED, cost=charged, result=msgspec.json.encode(settled).decode())
    ledger.settle(tx, job.project_id, job.key_id, job.id, held=job.hold, cost=cost, charged=charged)
    for picture in settled.pictures:
        if picture.key:
            tx.run(
                "INSERT INTO assets (key, job_id, project_id, media_type, width, height, bytes, created_ms) "
                "VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                (
                    picture.key,
                    job.id,
                    job.project_id,
                    picture.media_type,
                    picture.width,
                    picture.height,
                    picture.bytes,
                    tx.now_ms(),
                ),
            )
    return settled


def end(tx: Tx, job: Job, state: JobState, error: PicturaError) -> None:
    """The other commit 2: it came to nothing. The hold is released, except for `uncertain`, which keeps it."""
    _finish(tx, job, state, cost=0, error=msgspec.json.encode(stored(error)).decode())
    if state is not JobState.UNCERTAIN:
        ledger.release(tx, job.project_id, job.key_id, job.hold)


def resurrect(tx: Tx, job: Job, result: ImageResult, cost: int | None) -> ImageResult:
    """A paid picture that turned up late: `failed` or `uncertain` becomes `succeeded`, once."""
    row = tx.one("SELECT state, cost FROM jobs WHERE id = ?", (job.id,))
    if row is None or row[0] not in (JobState.FAILED, JobState.UNCERTAIN):
        raise Superseded("this job has its outcome already")
    if row[0] == JobState.FAILED:
        if row[1]:
            ledger.take_back(tx, job.project_id, job.key_id, job.id, row[1])
        # Its hold was given back; take it again, as far as it is still there, so that settling is the same as ever.
        job.hold = ledger.hold_again(tx, job.project_id, job.key_id, job.hold)
    tx.run("UPDATE jobs SET finished_ms = NULL, hold = ?, epoch = ? WHERE id = ?", (job.hold, job.epoch, job.id))
    return succeed(tx, job, result, cost)


def resolve(tx: Tx, job_id: str, *, charge: bool) -> None:
    """An operator decides about an `uncertain` job: its hold is charged, or given back. It ends as `failed`."""
    job = find(tx, job_id)
    if job is None:
        raise NotFound(f"there is no job {job_id[:60]!r}")
    if job.state is not JobState.UNCERTAIN:
        raise BadRequest(f"this job is {job.state.value}; only an uncertain one waits for a decision")
    cost = job.hold if charge else 0
    tx.run("UPDATE jobs SET state = ?, cost = ? WHERE id = ?", (JobState.FAILED.value, cost, job_id))
    ledger.settle(tx, job.project_id, job.key_id, job_id, held=job.hold, cost=cost, charged=cost)


def take_over(tx: Tx, dead_worker: str, new_worker: str) -> list[Job]:
    """Make the open jobs of a worker that is gone the new one's; their epoch grows."""
    # Exactly those that change hands: the new worker has jobs of its own on their way.
    taken = tx.all(
        "UPDATE jobs SET worker_id = ?, epoch = epoch + 1 WHERE worker_id = ? AND finished_ms IS NULL RETURNING id",
        (new_worker, dead_worker),
    )
    return [job for (job_id,) in sorted(taken) if (job := find(tx, job_id)) is not None]


def find(tx: Tx, job_id: str) -> Job | None:
    row = tx.one(f"{_SELECT} WHERE j.id = ?", (job_id,))
    return None if row is None else _job(row)


def find_same(tx: Tx, key: Key, request_hash: str, after_id: str) -> Job | None:
    """The newest job of a key with the same request, among those made after `after_id`."""
    row = tx.one(
        f"{_SELECT} WHERE j.project_id = ? AND j.id > ? AND request_hash = ? AND key_id = ? ORDER BY j.id DESC LIMIT 1",
        (key.project.id, after_id, request_hash, key.id),
    )
    return None if row is None else _job(row)


def newest(tx: Tx, project_id: str = "", limit: int = 50, before_id: str = "") -> list[Job]:
    """The newest first; of all projects where `project_id` is empty."""
    rows = tx.all(
        f"{_SELECT} WHERE (? = '' OR j.project_id = ?) AND (? = '' OR j.id < ?) ORDER BY j.id DESC LIMIT ?",
        (project_id, project_id, before_id, before_id, limit),
    )
    return [_job(row) for row in rows]


def attempts(tx: Tx, job_id: str) -> list[Attempt]:
    rows = tx.all(
        "SELECT number, part, pictures, channel, client_id, state, pending, error FROM attempts "
        "WHERE job_id = ? ORDER BY number",
        (job_id,),
    )
    return [
        Attempt(
            number=row[0],
            part=row[1],
            pictures=row[2],
            channel=row[3],
            client_id=row[4],
            state=row[5],
            pending=row[6],
            error=row[7],
        )
        for row in rows
    ]


def uses(tx: Tx) -> dict[str, int]:
    """Requests so far by model id."""
    return {row[0]: row[1] for row in tx.all("SELECT model, count(*) FROM jobs GROUP BY model")}


def stored(error: PicturaError) -> StoredError:
    """`kind` is the nearest class of the tree itself, so that every version can read it."""
    kind = next(cls.__name__ for cls in type(error).__mro__ if cls.__module__ == errors.__name__)
    return StoredError(
        kind=kind,
        message=error.message,
        param=error.param,
        allowed=error.allowed,
        retry_after_s=getattr(error, "retry_after_s", None),
        possibly_billed=error.possibly_billed,
        reason=getattr(error, "reason", ""),
        by=getattr(error, "by", ""),
    )


def revived(kept: StoredError) -> PicturaError:
    """The error again, as it was raised."""
    kind = getattr(errors, kept.kind, HouseError)
    error: PicturaError = kind(kept.message)
    error.param, error.allowed = kept.param, kept.allowed
    error.possibly_billed = kept.possibly_billed
    for name in ("retry_after_s", "reason", "by"):
        if hasattr(error, name):
            setattr(error, name, getattr(kept, name))
    return error


#: Per state, those that it may follow, itself among them, as SQL has it.
_BEFORE = {
    state: "({})".format(", ".join(f"'{old.value}'" for old in JobState if old is state or may(old, state)))
    for state in JobState
}


def _move(tx: Tx, job: Job, state: JobState) -> None:
    """To a state that is no end. A job of several parts may submit one and wait for another: the last word wins."""
    if not tx.run(
        f"UPDATE jobs SET state = ? WHERE id = ? AND epoch = ? AND finished_ms IS NULL AND state IN {_BEFORE[state]}",
        (state.value, job.id, job.epoch),
    ):
        raise Superseded("this job belongs to another worker now, or has ended")
    job.state = state


def _finish(
    tx: Tx, job: Job, state: JobState, *, cost: int | None, result: str | None = None, error: str | None = None
) -> None:
    now_ms = tx.now_ms()
    if not tx.run(
        "UPDATE jobs SET state = ?, cost = ?, result = ?, error = ?, finished_ms = ? "
        f"WHERE id = ? AND epoch = ? AND finished_ms IS NULL AND state IN {_BEFORE[state]}",
        (state.value, cost, result, error, now_ms, job.id, job.epoch),
    ):
        raise Superseded("this job belongs to another worker now, or has ended")
    job.state, job.cost, job.finished_ms = state, cost, now_ms


def _insert_attempt(tx: Tx, job_id: str, attempt: Attempt) -> None:
    tx.run(
        "INSERT INTO attempts (job_id, number, part, pictures, channel, client_id, state, started_ms) "
        "VALUES (?, ?, ?, ?, ?, ?, 'sending', ?)",
        (
            job_id,
            attempt.number,
            attempt.part,
            attempt.pictures,
            attempt.channel,
            attempt.client_id,
            tx.now_ms(),
        ),
    )


_SELECT = """
    SELECT j.id, j.project_id, p.prepaid, key_id, worker_id, dialect, model, request, request_hash, hold, state, epoch,
           sandbox, cost, result, error, j.created_ms, finished_ms
    FROM jobs j JOIN projects p ON p.id = j.project_id
"""
_REQUEST = msgspec.json.Decoder(ImageRequest)
_RESULT = msgspec.json.Decoder(ImageResult)
_ERROR = msgspec.json.Decoder(StoredError)


def _job(row: Row) -> Job:
    return Job(
        id=row[0],
        project_id=row[1],
        prepaid=bool(row[2]),
        key_id=row[3],
        worker_id=row[4],
        dialect=row[5],
        model=row[6],
        request=_REQUEST.decode(row[7]),
        request_hash=row[8],
        hold=row[9],
        state=JobState(row[10]),
        epoch=row[11],
        sandbox=bool(row[12]),
        cost=row[13],
        result=None if row[14] is None else _RESULT.decode(row[14]),
        error=None if row[15] is None else _ERROR.decode(row[15]),
        created_ms=row[16],
        finished_ms=row[17],
    )
