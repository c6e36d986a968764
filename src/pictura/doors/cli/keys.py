"""`pictura keys`"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Annotated, Literal

from cyclopts import App, Parameter

from pictura.core.errors import BadRequest
from pictura.doors.cli.client import segment
from pictura.doors.cli.reach import ANYWHERE, Reach
from pictura.doors.cli.tables import as_json, facts, moment, money, table
from pictura.doors.desk.shapes import KeyShown, MadeKey, Page

app = App(name="keys", help="Keys of clients: list, new, change, disable, enable.")

_SPAN = re.compile(r"([0-9]{1,5})([dhw])")
_UNITS = {"h": timedelta(hours=1), "d": timedelta(days=1), "w": timedelta(weeks=1)}


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class Terms:
    """What a key may do. Not named: no limit for a new key, no change for one that is there."""

    models: Annotated[
        tuple[str, ...],
        Parameter(help="Only these models; gpt-image-* is a pattern, all takes the limit away. Repeat for several."),
    ] = ()
    networks: Annotated[
        tuple[str, ...],
        Parameter(help="Only from these addresses or networks; all takes the limit away. Repeat for several."),
    ] = ()
    dialect: Annotated[str | None, Parameter(help="What it speaks where nothing else names a dialect.")] = None
    requests_per_minute: Annotated[int | None, Parameter(help="Requests a minute at most; 0: no limit.")] = None
    concurrency: Annotated[int | None, Parameter(help="Requests and tasks at once at most; 0: no limit.")] = None
    cap: Annotated[str, Parameter(help="Dollars it may spend at most, such as 12.50; none takes the cap away.")] = ""
    per: Annotated[
        Literal["day", "week", "month", "ever"] | None, Parameter(help="After which time the cap begins anew.")
    ] = None
    expires: Annotated[
        str, Parameter(help="A date (2027-01-31) or a time from now (30d, 12h, 2w); never takes it away.")
    ] = ""

    def told(self) -> dict[str, object]:
        """What was named, in the admin API's words."""
        wanted: dict[str, object] = {
            "models": _listed(self.models),
            "networks": _listed(self.networks),
            "dialect": self.dialect,
            "requests_per_minute": self.requests_per_minute,
            "concurrency": self.concurrency,
            "cap_period": {"ever": ""}.get(self.per, self.per) if self.per else None,
        }
        said = {field: value for field, value in wanted.items() if value is not None}
        if self.cap:
            said["cap"] = None if self.cap == "none" else self.cap
        if self.expires:
            said["expires"] = None if self.expires == "never" else until(self.expires)
        return said


NOTHING = Terms()


@app.default
@app.command(name="list")
def list_keys(*, project: str = "", json: bool = False, reach: Reach = ANYWHERE) -> None:
    """All keys, without their texts.

    Parameters
    ----------
    project
        Only those of this project.
    json
        As JSON.
    """
    page = reach.administer().ask("GET", "/api/keys", Page[KeyShown], query={"project": project})
    if json:
        as_json(page.data)
        return
    columns = ("id", "name", "key", "kind", "scopes", "project", "spent>", "requests>", "cap>", "limits", "state")
    table(columns, [_row(key) for key in page.data], "there is no key")


@app.command
def new(
    name: str,
    /,
    *,
    test: bool = False,
    admin: bool = False,
    project: str = "default",
    text: str = "",
    terms: Terms = NOTHING,
    json: bool = False,
    reach: Reach = ANYWHERE,
) -> None:
    """Make a key; it is shown once.

    Parameters
    ----------
    name
        Your name for it.
    test
        A test key: it reaches every model in the sandbox and costs nothing.
    admin
        It may also administer this house.
    project
        Who pays.
    text
        A key that somebody has already, taken over as it is.
    json
        As JSON.
    """
    wanted = {
        "name": name,
        "kind": "test" if test else "live",
        "scopes": ["draw", "admin"] if admin else ["draw"],
        "project": project,
        "text": text,
        **terms.told(),
    }
    made = reach.administer().ask("POST", "/api/keys", MadeKey, body=wanted)
    if json:
        as_json(made)
        return
    facts((("id", made.key.id), ("key", made.text)))
    print("It is shown this once: keep it now.")


@app.command
def change(id: str, /, *, name: str = "", terms: Terms = NOTHING, reach: Reach = ANYWHERE) -> None:
    """Change what a key may do; what is not named stays as it is.

    Parameters
    ----------
    id
        The key's id, see: pictura keys.
    name
        Your name for it.
    """
    wanted = {**({"name": name} if name else {}), **terms.told()}
    key = reach.administer().ask("PATCH", f"/api/keys/{segment(id)}", KeyShown, body=wanted)
    print(f"{key.id} {key.name}: {_state(key)}{', ' + _limits(key) if _limits(key) else ''}")


@app.command
def disable(id: str, /, *, reach: Reach = ANYWHERE) -> None:
    """Refuse a key from now on.

    Parameters
    ----------
    id
        The key's id, see: pictura keys.
    """
    key = reach.administer().ask("POST", f"/api/keys/{segment(id)}/disable", KeyShown)
    print(f"{key.id} {key.name}: disabled")


@app.command
def enable(id: str, /, *, reach: Reach = ANYWHERE) -> None:
    """Let a disabled key in again.

    Parameters
    ----------
    id
        The key's id, see: pictura keys.
    """
    key = reach.administer().ask("POST", f"/api/keys/{segment(id)}/enable", KeyShown)
    print(f"{key.id} {key.name}: {_state(key)}")


def until(text: str) -> datetime:
    """A date, or so long from now. Raises BadRequest."""
    span = _SPAN.fullmatch(text)
    if span:
        return datetime.now(UTC) + int(span[1]) * _UNITS[span[2]]
    try:
        return datetime.fromisoformat(text).astimezone(UTC)
    except ValueError:
        raise BadRequest(f"{text[:40]!r} is no date; write 2027-01-31, or 30d for thirty days from now") from None


def _listed(words: tuple[str, ...]) -> tuple[str, ...] | None:
    if not words:
        return None
    return () if words == ("all",) else words


def _row(key: KeyShown) -> tuple[str, ...]:
    cap = f"{money(key.cap_spent)} of {money(key.cap)}{_per(key)}" if key.cap is not None else ""
    return (
        key.id,
        key.name,
        key.hint,
        key.kind,
        " ".join(key.scopes),
        key.project,
        money(key.spent),
        str(key.requests),
        cap,
        _limits(key),
        _state(key),
    )


def _per(key: KeyShown) -> str:
    return f" a {key.cap_period}" if key.cap_period else ""


def _limits(key: KeyShown) -> str:
    told = (
        f"{key.requests_per_minute} a minute" if key.requests_per_minute else "",
        f"{key.concurrency} at once" if key.concurrency else "",
        " ".join(key.models),
        f"from {' '.join(key.networks)}" if key.networks else "",
        f"speaks {key.dialect}" if key.dialect else "",
    )
    return ", ".join(filter(None, told))


def _state(key: KeyShown) -> str:
    if key.disabled is not None:
        return "disabled"
    if key.expires is None:
        return "works"
    return f"{'expired' if key.expires <= datetime.now(UTC) else 'until'} {moment(key.expires)}"
