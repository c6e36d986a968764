"""`pictura models`"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

import msgspec
from cyclopts import App, Parameter

from pictura.core.errors import BadRequest
from pictura.doors.cli.client import Client, segment
from pictura.doors.cli.datasheet import ORIGINS, price, served, show, sizes, status
from pictura.doors.cli.reach import ANYWHERE, Reach
from pictura.doors.cli.tables import as_json, table
from pictura.doors.desk.shapes import ModelShown, Nothing, Page
from pictura.infra.config import ModelParts, ModelPrice, PriceRow, TokenRow

app = App(
    name="models",
    help="Which models there are, what they take and what they cost: list, show, set-price, add, remove.",
)


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class Amounts:
    """What is billed beside, or in the place of, an amount for each picture."""

    row: Annotated[
        tuple[str, ...],
        Parameter(help="A picture by quality and size, high:1024x1024=0.133; either may be left out. Repeat for each."),
    ] = ()
    first_megapixel: Annotated[str, Parameter(help="The first megapixel of a picture.")] = ""
    further_megapixel: Annotated[str, Parameter(help="Each further one; else as much as the first.")] = ""
    per_input: Annotated[str, Parameter(help="Each picture sent.")] = ""
    image_out: Annotated[str, Parameter(help="A million tokens of drawn picture.")] = ""
    text_in: Annotated[str, Parameter(help="A million tokens of prompt.")] = ""
    cached_in: Annotated[str, Parameter(help="A million tokens of prompt that was read before.")] = ""
    image_in: Annotated[str, Parameter(help="A million tokens of pictures sent.")] = ""
    text_out: Annotated[str, Parameter(help="A million tokens of written answer.")] = ""
    tokens: Annotated[
        tuple[str, ...],
        Parameter(help="How many tokens a picture takes, high:1024x1024=4160; else as before. Repeat for each."),
    ] = ()
    currency: Annotated[str, Parameter(help="What the amounts are in, such as CNY.")] = "USD"
    rate: Annotated[str, Parameter(help="How many of that one dollar is, such as 7.10.")] = ""
    rate_date: Annotated[str, Parameter(help="When the rate was that.")] = ""
    source: Annotated[str, Parameter(help="Where the price is from: your contract, a page and its date.")] = ""

    def told(self, per_picture: str = "") -> ModelPrice:
        """In the admin API's words."""
        return ModelPrice(
            per_picture=per_picture,
            rows=tuple(PriceRow(amount=said.value, quality=said.quality, size=said.size) for said in _rows(self.row)),
            first_megapixel=self.first_megapixel,
            further_megapixel=self.further_megapixel,
            per_input=self.per_input,
            image_out=self.image_out,
            text_in=self.text_in,
            cached_in=self.cached_in,
            image_in=self.image_in,
            text_out=self.text_out,
            output_tokens=tuple(
                TokenRow(tokens=_whole(said.value), quality=said.quality, size=said.size) for said in _rows(self.tokens)
            ),
            currency=self.currency.upper(),
            rate=self.rate,
            rate_date=self.rate_date,
        )


NO_AMOUNTS = Amounts()


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
    _put(client, model.id, said)


@app.command
def add(
    name: str,
    /,
    *,
    base: str = "",
    provider: str = "",
    native: str = "",
    alias: tuple[str, ...] = (),
    size: tuple[str, ...] = (),
    max_n: int | None = None,
    notes: str = "",
    per_picture: Annotated[str, Parameter(name="--price")] = "",
    amounts: Amounts = NO_AMOUNTS,
    reach: Reach = ANYWHERE,
) -> None:
    """Add a model, or say parts of one that is here; what the console said of it before goes.

    Parameters
    ----------
    name
        Its public id.
    base
        A model to start from: whatever is not said is as there.
    provider
        Whose wire format it speaks, where there is no base.
    native
        What the vendor calls it.
    alias
        Another name for it. Repeat for several.
    size
        A size that may be asked for: 1024x1024, or 16:9 and 2K. Repeat for each.
    max_n
        Pictures of one call to the vendor.
    notes
        What a reader should know.
    per_picture
        Dollars for each picture.
    """
    parts = ModelParts(
        base=base,
        provider=provider,
        native=native,
        aliases=alias or None,
        sizes=size or None,
        max_n=max_n,
        notes=notes or None,
        price=amounts.told(per_picture) if per_picture or amounts != NO_AMOUNTS else None,
        price_source=amounts.source,
    )
    _put(reach.administer(), name, parts)


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
    print(f"{left[0].id}: {price(left[0])}, {ORIGINS[left[0].origin]}" if left else f"{name} is gone")


def _known(client: Client, name: str) -> ModelShown:
    return client.ask("GET", f"/api/models/{segment(name)}", ModelShown)


def _put(client: Client, name: str, parts: ModelParts) -> None:
    model = client.ask("PUT", f"/api/models/{segment(name)}", ModelShown, body=parts)
    print(f"{model.id}: {price(model)}, {served(model)}")


# -- what is typed --


class _Said(msgspec.Struct, frozen=True):
    value: str
    quality: str
    size: str


def _rows(texts: Sequence[str]) -> list[_Said]:
    """`high:1024x1024=0.133`, `high=0.133` and `2K=0.05`: a size begins with a digit."""
    found = []
    for text in texts:
        where, equals, value = text.rpartition("=")
        if not equals:
            raise BadRequest(f"{text!r} says no value; write it like high:1024x1024=0.133")
        quality, colon, size = where.partition(":")
        if not colon and quality[:1].isdigit():
            quality, size = "", quality
        found.append(_Said(value, quality, size))
    return found


def _whole(text: str) -> int:
    if not text.isdecimal():
        raise BadRequest(f"--tokens: {text!r} is no count; write it like high:1024x1024=4160")
    return int(text)
