"""`pictura models`"""

from __future__ import annotations

import sys

import msgspec
from cyclopts import App

from pictura.core.errors import BadRequest
from pictura.doors.cli.client import Client, segment
from pictura.doors.cli.datasheet import origin, price, served, show, sizes, status
from pictura.doors.cli.parts import NO_AMOUNTS, NO_PARTS, Amounts, Parts
from pictura.doors.cli.reach import ANYWHERE, Reach
from pictura.doors.cli.tables import agreed, as_json, table
from pictura.doors.desk.shapes import ModelShown, NewModel, Nothing, Page
from pictura.infra.config import ModelParts

app = App(
    name="models",
    help="Which models there are, what they take and what they cost: list, show, set-price, add, remove.",
)


@app.default
@app.command(name="list")
def list_models(filter: str = "", /, *, json: bool = False, reach: Reach = ANYWHERE) -> None:
    """All models in a table.

    Parameters
    ----------
    filter
        Only those with this in their name, or served by it.
    json
        As JSON: everything that is known of them.
    """
    page = reach.administer().ask("GET", "/api/models", Page[ModelShown], query={"filter": filter})
    if json:
        as_json(page.data)
        return
    rows = [
        (m.id, m.provider, " ".join(m.modes), sizes(m.supported_parameters), price(m), status(m), served(m))
        for m in page.data
    ]
    columns = ("id", "provider", "draws", "sizes", "price of a picture", "status", "channels")
    table(columns, rows, f"no model is called like {filter!r}")


@app.command(name="show")
def show_model(name: str, /, *, json: bool = False, reach: Reach = ANYWHERE) -> None:
    """One model: what a request may hold, what it costs, and where that is from.

    Parameters
    ----------
    name
        Any of its names.
    json
        As JSON.
    """
    model = _known(reach.administer(), name)
    if json:
        as_json(model)
    else:
        show(model)


@app.command
def set_price(name: str, per_picture: str = "", /, *, amounts: Amounts = NO_AMOUNTS, reach: Reach = ANYWHERE) -> None:
    """Say what a model costs: for each picture, or with the options below. It counts from the next request on.

    Parameters
    ----------
    name
        Any of its names.
    per_picture
        Dollars for each picture, such as 0.04.
    """
    client = reach.administer()
    model = _known(client, name)
    if model.origin == "channel":
        raise BadRequest(f"only a channel knows {model.id}; say its price there: pictura channels add … --price")
    own = model.own or ModelParts()
    said = msgspec.structs.replace(own, price=amounts.told(per_picture), price_source=amounts.source)
    _put(client, model.id, said, replace=True)


@app.command
def add(
    name: str,
    /,
    *,
    parts: Parts = NO_PARTS,
    amounts: Amounts = NO_AMOUNTS,
    replace: bool = False,
    reach: Reach = ANYWHERE,
) -> None:
    """Add a model, or say parts of one that is here; what the console said of it before goes.

    Parameters
    ----------
    name
        Its public id.
    replace
        Where there is a model of this id: say these parts of it, without a question.
    """
    client = reach.administer()
    _put(client, name, parts.told(amounts), replace=replace or _replaces(client, name))


@app.command
def remove(name: str, /, *, reach: Reach = ANYWHERE) -> None:
    """Take away what the console says of a model: its own card and price hold again, or it is gone.

    Parameters
    ----------
    name
        Its public id.
    """
    client = reach.administer()
    client.ask("DELETE", f"/api/models/{segment(name)}", Nothing)
    left = client.ask("GET", "/api/models", Page[ModelShown], query={"name": name}).data
    print(f"{left[0].id}: {price(left[0])}, {origin(left[0])}" if left else f"{name} is gone")


def _known(client: Client, name: str) -> ModelShown:
    return client.ask("GET", f"/api/models/{segment(name)}", ModelShown)


def _replaces(client: Client, name: str) -> bool:
    """Is a model of this id here? Raises BadRequest where nobody at a terminal says that this one goes over it."""
    page = client.ask("GET", "/api/models", Page[ModelShown], query={"name": name})
    model = next((model for model in page.data if model.id.lower() == name.lower()), None)
    if model is None or model.origin == "channel":
        return False
    here = f"{model.id} of {model.provider} is here already ({origin(model)})"
    if not (sys.stdin.isatty() and agreed(f"{here}. Say these parts of it instead?")):
        raise BadRequest(f"{here}; nothing was changed. To say parts of it: --replace; else choose another id")
    return True


def _put(client: Client, name: str, parts: ModelParts, *, replace: bool) -> None:
    said = NewModel(**msgspec.structs.asdict(parts), replace=replace)
    model = client.ask("PUT", f"/api/models/{segment(name)}", ModelShown, body=said)
    print(f"{model.id}: {price(model)}, {served(model)}")
