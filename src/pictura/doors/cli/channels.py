"""`pictura channels`"""

from __future__ import annotations

import os
import sys
from getpass import getpass
from typing import Literal

from cyclopts import App

from pictura.core.errors import BadRequest
from pictura.doors.cli.client import segment
from pictura.doors.cli.reach import ANYWHERE, Reach
from pictura.doors.cli.tables import as_json, money, table
from pictura.doors.desk.shapes import ChannelShown, Nothing, Page

app = App(name="channels", help="Accounts at providers: list, add, remove.")

Word = tuple[str, ...]


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
    secret: Word = (),
    no_key: bool = False,
    base_url: str = "",
    models: Word = (),
    weight: int = 1,
    priority: int = 0,
    max_concurrency: int = 0,
    region: str = "",
    private: bool = False,
    results: Literal["host", "relay"] = "host",
    price: str = "",
    disabled: bool = False,
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
    base_url
        Where its API lives; else the vendor's own address.
    models
        Only these models; `ours=theirs` where it calls one differently. Repeat for several.
    weight
        Share of requests among channels of one priority.
    priority
        Lower numbers are asked first.
    max_concurrency
        Calls at once; 0: no limit.
    region
        Preferred when a request names its region.
    private
        Its address may lie in a private network.
    results
        Keep the pictures here, or hand the upstream's own URLs on.
    price
        Dollars this account pays for a picture, where it is not the card's price.
    disabled
        Keep it, but do not ask it.
    """
    wanted = {
        "name": name,
        "provider": provider,
        "api_key": "" if no_key or secret else _key(api_key_env),
        "secrets": dict(_pair(text, "--secret") for text in secret),
        "base_url": base_url,
        "models": dict(_pair(text) for text in models) or None,
        "weight": weight,
        "priority": priority,
        "max_concurrency": max_concurrency,
        "region": region,
        "allow_private_network": private,
        "results": results,
        "price": {"per_picture": price} if price else None,
        "enabled": not disabled,
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
