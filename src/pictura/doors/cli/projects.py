"""`pictura projects`"""

from __future__ import annotations

from cyclopts import App

from pictura.doors.cli.reach import ANYWHERE, Reach
from pictura.doors.cli.tables import as_json, money, table
from pictura.doors.desk.shapes import Page, ProjectShown

app = App(name="projects", help="Projects, which pay for their keys: list, new.")


@app.default
@app.command(name="list")
def list_projects(*, json: bool = False, reach: Reach = ANYWHERE) -> None:
    """All projects and what they have.

    Parameters
    ----------
    json
        As JSON.
    """
    page = reach.administer().ask("GET", "/api/projects", Page[ProjectShown])
    if json:
        as_json(page.data)
        return
    rows = [(p.id, p.name, "prepaid" if p.prepaid else "postpaid", money(p.balance), money(p.held)) for p in page.data]
    table(("id", "name", "pays", "balance>", "held>"), rows, "there is no project")


@app.command
def new(name: str, /, *, prepaid: bool = False, id: str = "", reach: Reach = ANYWHERE) -> None:
    """Make a project.

    Parameters
    ----------
    name
        Your name for it.
    prepaid
        It may spend what was deposited, and no more; else nothing is refused for money.
    id
        Its id; else one is made.
    """
    body = {"name": name, "prepaid": prepaid, "id": id}
    made = reach.administer().ask("POST", "/api/projects", ProjectShown, body=body)
    print(f"{made.id} {made.name}: {'prepaid' if made.prepaid else 'postpaid'}")
