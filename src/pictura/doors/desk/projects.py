"""Projects and their money: whoever pays, what is left, and what came in."""

from __future__ import annotations

from pictura.core import ids
from pictura.core.errors import BadRequest, NotFound
from pictura.doors.desk.act import Act, dollars, micros, moment
from pictura.doors.desk.shapes import (
    Balance,
    Deposit,
    EntryShown,
    NewProject,
    Nothing,
    OfProject,
    Page,
    ProjectShown,
)
from pictura.doors.house import DEFAULT_PROJECT
from pictura.infra.db import Tx
from pictura.store import ledger
from pictura.store.keys import Project, make_project, projects

#: Whose entries are what the operator pays beyond what was held; it has no purse, and nothing draws for it.
_HOUSE = Project(ledger.HOUSE, "the house itself")


async def listed(act: Act, _: Nothing) -> Page[ProjectShown]:
    return Page(act.house.database.read(lambda tx: [_shown(tx, project) for project in projects(tx)]))


async def create(act: Act, wanted: NewProject) -> ProjectShown:
    if wanted.id:
        ids.check(wanted.id, "id")
    known = act.house.database.read(projects)
    if wanted.id == ledger.HOUSE or any(project.id == wanted.id for project in known):
        raise BadRequest(f"the id {wanted.id!r} is taken", param="id")
    made = await make_project(act.house.database, Project(wanted.id, wanted.name, wanted.prepaid))
    await act.noted("make project", made.id, "prepaid" if made.prepaid else "postpaid")
    return act.house.database.read(lambda tx: _shown(tx, made))


async def balance(act: Act, asked: OfProject) -> Balance:
    return await act.house.database.browse(lambda tx: _balance(tx, asked.project or DEFAULT_PROJECT, asked.limit))


async def deposit(act: Act, wanted: Deposit) -> Balance:
    amount = micros(wanted.amount, "amount")
    if not amount:
        raise BadRequest("amount is zero", param="amount")

    def write(tx: Tx) -> None:
        if ledger.deposit(tx, wanted.project, amount, wanted.note, wanted.reference):
            act.note(tx, "deposit", wanted.project, f"{dollars(amount)} {wanted.note}".strip())

    await act.house.database.write(write)
    return await balance(act, OfProject(wanted.project))


def _shown(tx: Tx, project: Project) -> ProjectShown:
    purse = ledger.purse(tx, project.id)
    return ProjectShown(project.id, project.name, project.prepaid, dollars(purse.balance), dollars(purse.held))


def _balance(tx: Tx, project_id: str, limit: int) -> Balance:
    project = next((project for project in (*projects(tx), _HOUSE) if project.id == project_id), None)
    if project is None:
        raise NotFound(f"there is no project {project_id[:60]!r}", param="project")
    sums = ledger.sums(tx, project_id)
    house = ProjectShown(_HOUSE.id, _HOUSE.name, False, dollars(sums.deposited - sums.spent), dollars(0))
    return Balance(
        project=house if project is _HOUSE else _shown(tx, project),
        available=dollars(ledger.purse(tx, project_id).available) if project.prepaid else None,
        spent=dollars(sums.spent),
        deposited=dollars(sums.deposited),
        entries=[_entry(entry) for entry in ledger.entries(tx, project_id, limit)],
    )


def _entry(entry: ledger.Entry) -> EntryShown:
    return EntryShown(
        id=entry.id,
        at=moment(entry.at_ms),
        kind=entry.kind,
        amount=dollars(entry.amount),
        key=entry.key_id,
        job=entry.job_id,
        note=entry.note,
    )
