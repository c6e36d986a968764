"""Jobs: the newest, one, cancel, and what an operator decides about an uncertain one."""

from __future__ import annotations

from pictura.core import ids
from pictura.core.errors import BadRequest, NotFound
from pictura.core.job import JobState
from pictura.core.result import Delivered
from pictura.doors.desk.act import Act, dollars, moment
from pictura.doors.desk.shapes import (
    AttemptShown,
    Cancelled,
    Decision,
    Failure,
    JobShown,
    Nothing,
    OfProject,
    Page,
    PictureShown,
)
from pictura.infra.db import Tx
from pictura.store import jobs
from pictura.store.jobs import Attempt, Job


async def listed(act: Act, asked: OfProject) -> Page[JobShown]:
    """The newest first; `before`: the id of the last one seen, for the next page."""
    if asked.before and not (asked.before.startswith("job_") and ids.born_s(asked.before)):
        raise BadRequest(f"before is {asked.before[:60]!r}, but must be the id of a job: job_…", param="before")

    def read(tx: Tx) -> list[JobShown]:
        found = jobs.newest(tx, asked.project, asked.limit, asked.before)
        return [_shown(act, job, jobs.attempts(tx, job.id)) for job in found]

    return Page(await act.house.database.browse(read))


async def one(act: Act, _: Nothing) -> JobShown:
    job = _find(act)
    return _shown(act, job, act.house.database.read(lambda tx: jobs.attempts(tx, job.id)))


async def cancel(act: Act, _: Nothing) -> Cancelled:
    job = _find(act)
    done = await act.house.gateway.cancel(job.id, job.project_id)
    if done:
        await act.noted("cancel job", job.id)
    return Cancelled(done)


async def resolve(act: Act, wanted: Decision) -> JobShown:
    job = _find(act)

    def write(tx: Tx) -> None:
        jobs.resolve(tx, job.id, charge=wanted.outcome == "charge")
        act.note(tx, "resolve job", job.id, wanted.outcome)

    await act.house.database.write(write)
    return await one(act, Nothing())


def _find(act: Act) -> Job:
    job = act.house.database.read(lambda tx: jobs.find(tx, act.place["id"]))
    if job is None:
        raise NotFound(f"there is no job {act.place['id'][:60]!r}")
    return job


def _shown(act: Act, job: Job, attempts: list[Attempt]) -> JobShown:
    return JobShown(
        id=job.id,
        project=job.project_id,
        key=job.key_id,
        dialect=job.dialect,
        model=job.model,
        operation=job.request.operation,
        prompt=job.request.prompt,
        size=str(job.request.size),
        n=job.request.n,
        state=job.state.value,
        sandbox=job.sandbox,
        hold=dollars(job.hold),
        cost=None if job.cost is None or job.state is JobState.UNCERTAIN else dollars(job.cost),
        created=moment(job.created_ms),
        finished=None if job.finished_ms is None else moment(job.finished_ms),
        attempts=[AttemptShown(a.number, a.part, a.channel, a.state, a.error) for a in attempts],
        pictures=[_picture(act, picture) for picture in job.result.pictures] if job.result else [],
        error=Failure(job.error.kind, job.error.message, job.error.possibly_billed) if job.error else None,
    )


def _picture(act: Act, picture: Delivered) -> PictureShown:
    url = picture.url or (act.house.links.sign(act.base_url, picture.key) if picture.key else "")
    return PictureShown(url, picture.media_type, picture.width, picture.height, picture.bytes)
