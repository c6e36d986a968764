"""`pictura channels`"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from getpass import getpass
from pathlib import Path
from typing import Annotated

import msgspec
from cyclopts import App, Parameter

from pictura.core.errors import BadRequest
from pictura.doors.cli.client import segment
from pictura.doors.cli.reach import ANYWHERE, Reach
from pictura.doors.cli.tables import as_json, money, table
from pictura.doors.desk.shapes import ChannelShown, Nothing, Page

app = App(name="channels", help="Accounts at providers: list, add, remove.")


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class Terms:
    """How a channel is used."""

    base_url: Annotated[str, Parameter(help="Where its API lives; else the vendor's own address.")] = ""
    models: Annotated[
        tuple[str, ...],
        Parameter(help="Only these models; ours=theirs where it calls one differently. Repeat for several."),
    ] = ()
    weight: Annotated[int, Parameter(help="Share of requests among channels of one priority.")] = 1
    priority: Annotated[int, Parameter(help="Lower numbers are asked first.")] = 0
    max_concurrency: Annotated[int, Parameter(help="Calls at once; 0: no limit.")] = 0
    region: Annotated[str, Parameter(help="Preferred when a request names its region.")] = ""
    private: Annotated[
        bool | None, Parameter(help="Its address may lie in a private network, as an engine's of one's own may anyway.")
    ] = None
    relay: Annotated[bool, Parameter(help="Hand the upstream's own URLs on instead of keeping the pictures.")] = False
    header: Annotated[tuple[str, ...], Parameter(help="A header for every call, name=value. Repeat for several.")] = ()
    param: Annotated[
        tuple[str, ...], Parameter(help="An option set on every request, name=value (JSON, text, or @file). Repeat.")
    ] = ()
    option: Annotated[
        tuple[str, ...],
        Parameter(help="What its provider wants to know, name=value (JSON, text, or @file). Repeat."),
    ] = ()
    proxy: Annotated[str, Parameter(help="The egress proxy for its calls, http://…")] = ""
    price: Annotated[str, Parameter(help="Dollars it takes for a picture, where that is not the card's price.")] = ""
    disabled: Annotated[bool, Parameter(help="Keep it, but do not ask it.")] = False

    def told(self) -> dict[str, object]:
        """In the admin API's words."""
        return {
            "base_url": self.base_url,
            "models": dict(_pair(text) for text in self.models) or None,
            "weight": self.weight,
            "priority": self.priority,
            "max_concurrency": self.max_concurrency,
            "region": self.region,
            "allow_private_network": self.private,
            "results": "relay" if self.relay else "host",
            "headers": dict(_pair(text, "--header") for text in self.header),
            "params": _values(self.param, "--param"),
            "options": _values(self.option, "--option"),
            "proxy": self.proxy,
            "price": {"per_picture": self.price} if self.price else None,
            "enabled": not self.disabled,
        }


USUAL = Terms()


@app.default
@app.command(name="list")
def list_channels(*, json: bool = False, reach: Reach = ANYWHERE) -> None:
    """All channels and how they do.

    Parameters
    ----------
    json
        As JSON.
    """
    page = reach.administer().ask("GET", "/api/channels", Page[ChannelShown])
    if json:
        as_json(page.data)
        return
    columns = ("name", "provider", "from", "address", "models", "weight>", "priority>", "price>", "state")
    nothing = "there is none: only test keys draw. Add one with: pictura channels add NAME --provider openai"
    table(columns, [_row(channel) for channel in page.data], nothing)


@app.command
def add(
    name: str,
    /,
    *,
    provider: str,
    api_key_env: str = "",
    secret: tuple[str, ...] = (),
    no_key: bool = False,
    terms: Terms = USUAL,
    reach: Reach = ANYWHERE,
) -> None:
    """Add a channel, or replace the one of this name. Its key is asked for, or read from standard input.

    Parameters
    ----------
    name
        Your name for it.
    provider
        Whose wire format it speaks: openai, …
    api_key_env
        Take the key from this environment variable of yours instead of asking for it.
    secret
        A secret by its name, where a provider needs several: access_key=… Repeat for each.
    no_key
        It wants no key; or, of a channel that is there already: its key stays.
    """
    wanted = {
        "name": name,
        "provider": provider,
        "api_key": "" if no_key or secret else _key(api_key_env),
        "secrets": dict(_pair(text, "--secret") for text in secret),
        **terms.told(),
    }
    made = reach.administer().ask("POST", "/api/channels", ChannelShown, body=wanted)
    print(f"{made.name}: {made.provider} at {made.base_url}")


@app.command
def remove(name: str, /, *, reach: Reach = ANYWHERE) -> None:
    """Remove a channel that was added here.

    Parameters
    ----------
    name
        The channel's name, see: pictura channels.
    """
    reach.administer().ask("DELETE", f"/api/channels/{segment(name)}", Nothing)
    print(f"{name}: removed")


def _key(variable: str) -> str:
    """Never an argument: those are seen by everybody on the machine."""
    if variable and not os.environ.get(variable):
        raise BadRequest(f"the environment variable {variable} is not set")
    if variable:
        return os.environ[variable]
    key = getpass("API key: ") if sys.stdin.isatty() else sys.stdin.readline()
    if not key.strip():
        raise BadRequest("no key was given; pass --no-key where it wants none")
    return key.strip()


def _pair(text: str, needed_by: str = "") -> tuple[str, str]:
    """`name=value`; a bare name stands for itself where that is allowed."""
    name, equals, value = text.partition("=")
    if needed_by and not equals:
        raise BadRequest(f"{needed_by} is written name=value")
    return name, value


def _values(pairs: Iterable[str], needed_by: str) -> dict[str, object]:
    return {name: _value(text) for name, text in (_pair(pair, needed_by) for pair in pairs)}


def _value(text: str) -> object:
    try:
        text = Path(text[1:]).read_text() if text.startswith("@") else text
    except (OSError, UnicodeDecodeError) as error:
        raise BadRequest(f"{text[1:]} cannot be read: {error}") from None
    try:
        return msgspec.json.decode(text)
    except msgspec.DecodeError:
        return text


def _row(channel: ChannelShown) -> tuple[str, ...]:
    models = "all" if channel.models is None else " ".join(channel.models)
    price = "" if channel.price_per_picture is None else money(channel.price_per_picture)
    return (
        channel.name,
        channel.provider,
        channel.origin,
        channel.base_url,
        models,
        str(channel.weight),
        str(channel.priority),
        price,
        _state(channel),
    )


def _state(channel: ChannelShown) -> str:
    if not channel.enabled:
        return "disabled"
    if channel.resting:
        return "; ".join(f"rests {rest.seconds} s ({rest.model}): {rest.why}" for rest in channel.resting)
    return "ready"
