"""`pictura balance`"""

from __future__ import annotations

from cyclopts import App

from pictura.doors.cli.reach import ANYWHERE, Limit, Reach
from pictura.doors.cli.tables import as_json, facts, moment, money, table
from pictura.doors.desk.shapes import Balance

app = App(name="balance", help="A project's money: show, deposit.")


@app.default
@app.command
def show(*, project: str = "default", limit: Limit = 20, json: bool = False, reach: Reach = ANYWHERE) -> None:
    """What a project has, and its newest entries.

    Parameters
    ----------
    project
        The project's id.
    limit
        So many entries.
    json
        As JSON.
    """
    query = {"project": project, "limit": limit}
    balance = reach.administer().ask("GET", "/api/balance", Balance, query=query)
    if json:
        as_json(balance)
    else:
        _show(balance)


@app.command
def deposit(
    amount: str,
    /,
    *,
    project: str = "default",
    note: str = "",
    reference: str = "",
    reach: Reach = ANYWHERE,
) -> None:
    """Enter money that came in.

    Parameters
    ----------
    amount
        Dollars, such as 12.50; below zero it is a correction: -- -3.20
    project
        The project's id.
    note
        What is to be read in the ledger.
    reference
        Yours; a second deposit under the same one is not entered again.
    """
    body = {"amount": amount, "project": project, "note": note, "reference": reference}
    balance = reach.administer().ask("POST", "/api/balance", Balance, body=body)
    print(f"{balance.project.id}: balance {money(balance.project.balance)}")


def _show(balance: Balance) -> None:
    project = balance.project
    facts(
        (
            ("project", f"{project.id} ({project.name})"),
            ("pays", "prepaid" if project.prepaid else "postpaid: nothing is refused for money"),
            ("balance", money(project.balance)),
            ("held by jobs", money(project.held)),
            ("available", money(balance.available) if project.prepaid else ""),
            ("spent", money(balance.spent)),
            ("deposited", money(balance.deposited)),
        )
    )
    if balance.entries:
        print()
        rows = [(moment(e.at), e.kind, money(e.amount), e.job or e.key, e.note) for e in balance.entries]
        table(("when", "what", "amount>", "for", "note"), rows, "")
