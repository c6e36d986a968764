"""`pictura jobs`"""

from __future__ import annotations

from typing import Literal

from cyclopts import App

from pictura.doors.cli.client import segment
from pictura.doors.cli.reach import ANYWHERE, Limit, Reach
from pictura.doors.cli.tables import as_json, facts, moment, money, table
from pictura.doors.desk.shapes import AttemptShown, Cancelled, JobShown, Page

app = App(name="jobs", help="What was asked for and what came of it: list, show, cancel, resolve.")

#: So much of a prompt or an error stands in the list.
SHORT = 48


@app.default
@app.command(name="list")
def list_jobs(
    *, limit: Limit = 20, project: str = "", before: str = "", json: bool = False, reach: Reach = ANYWHERE
) -> None:
    """The newest jobs.

    Parameters
    ----------
    limit
        So many.
    project
        Only those of this project.
    before
        Only those older than the job of this id.
    json
        As JSON.
    """
    query = {"limit": limit, "project": project, "before": before}
    page = reach.administer().ask("GET", "/api/jobs", Page[JobShown], query=query)
    if json:
        as_json(page.data)
        return
    columns = ("id", "when", "state", "model", "n>", "cost>", "took>", "channel", "prompt or error")
    table(columns, [_row(job) for job in page.data], "there is no job yet")


@app.command
def show(id: str, /, *, json: bool = False, reach: Reach = ANYWHERE) -> None:
    """One job, with its attempts and its pictures.

    Parameters
    ----------
    id
        The job's id, see: pictura jobs.
    json
        As JSON.
    """
    job = reach.administer().ask("GET", f"/api/jobs/{segment(id)}", JobShown)
    if json:
        as_json(job)
    else:
        _show(job)


@app.command
def cancel(id: str, /, *, reach: Reach = ANYWHERE) -> int:
    """Stop a job that was not sent yet.

    Parameters
    ----------
    id
        The job's id, see: pictura jobs.
    """
    answer = reach.administer().ask("POST", f"/api/jobs/{segment(id)}/cancel", Cancelled)
    print("cancelled" if answer.cancelled else "too late: it has ended, or was sent and will be finished and kept")
    return 0 if answer.cancelled else 1


@app.command
def resolve(id: str, outcome: Literal["charge", "release"], /, *, reach: Reach = ANYWHERE) -> None:
    """Decide about an uncertain job: it was sent, and nobody knows whether it was billed.

    Parameters
    ----------
    id
        The job's id, see: pictura jobs.
    outcome
        Charge what is held for it, or give it back.
    """
    job = reach.administer().ask("POST", f"/api/jobs/{segment(id)}/resolve", JobShown, body={"outcome": outcome})
    print(f"{job.id}: {job.state}, {money(job.cost)} charged")


def _row(job: JobShown) -> tuple[str, ...]:
    what = job.error.message if job.error else job.prompt
    return (
        job.id,
        moment(job.created),
        job.state,
        job.model,
        str(job.n),
        "sandbox" if job.sandbox else money(job.cost),
        _took(job),
        job.attempts[-1].channel if job.attempts else "",
        what if len(what) <= SHORT else what[: SHORT - 1] + "…",
    )


def _took(job: JobShown) -> str:
    return f"{(job.finished - job.created).total_seconds():.1f} s" if job.finished else ""


def _show(job: JobShown) -> None:
    error = job.error
    billed = " (possibly billed)" if error and error.possibly_billed else ""
    facts(
        (
            ("job", job.id),
            ("state", job.state),
            ("model", f"{job.model}{' in the sandbox' if job.sandbox else ''}"),
            ("asked", f"{job.operation}, {job.n} of {job.size}, in the {job.dialect} dialect"),
            ("prompt", job.prompt),
            ("project", job.project),
            ("key", job.key),
            ("held", money(job.hold)),
            ("cost", money(job.cost)),
            ("begun", moment(job.created)),
            ("took", _took(job)),
            ("error", f"{error.kind}{billed}: {error.message}" if error else ""),
            *((f"attempt {attempt.number}", _attempt(attempt)) for attempt in job.attempts),
            *(("picture", f"{p.width}x{p.height} {p.media_type} {p.url}") for p in job.pictures),
        )
    )


def _attempt(attempt: AttemptShown) -> str:
    return f"{attempt.channel}: {attempt.state}{': ' + attempt.error if attempt.error else ''}"
