"""`pictura serve`: open the house, listen, say what to do next; at the end finish what is in flight."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import socket
import sqlite3
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter

from pictura.core.errors import HouseError
from pictura.doors.cli.greeting import Greeting
from pictura.doors.house import House, open_house
from pictura.doors.http.app import application
from pictura.doors.http.server import GRACE_S, listen
from pictura.doors.http.server import serve as answer_requests
from pictura.infra.config import Settings, environment, load

#: Read where no --config is given, if it is there.
USUAL_CONFIG = Path("pictura.toml")

Level = Literal["debug", "info", "warning", "error"]


def serve(
    *,
    host: str = "127.0.0.1",
    port: int = 4000,
    data: Path = Path("data"),
    config: Path | None = None,
    first_picture: Path | None = None,
    log_level: Annotated[Level, Parameter(env_var="PICTURA_LOG")] = "info",
) -> None:
    """Start the gateway.

    Parameters
    ----------
    host
        The address to listen on; 0.0.0.0 for all of this machine's.
    port
        The port to listen on; 0 for any that is free.
    data
        The folder of the database and the pictures; made where it is missing.
    config
        The settings; else pictura.toml in the current folder, where there is one.
    first_picture
        Draw a picture through the gateway once it stands, with the test key, and save it here.
    log_level
        How much is written to standard error.
    """
    _log(log_level)
    settings = load(config or (USUAL_CONFIG if USUAL_CONFIG.exists() else None))
    # Before the database is opened: whoever starts Pictura twice is told of the port, and nothing was touched.
    with listen(host, port) as sock:
        data.mkdir(parents=True, exist_ok=True)
        try:
            asyncio.run(_serve(host, sock, data, settings, first_picture))
        except sqlite3.Error as error:
            raise HouseError(f"the database in {data} cannot be used: {error}") from None


async def _serve(host: str, sock: socket.socket, data: Path, settings: Settings, first_picture: Path | None) -> None:
    variables = environment()
    async with open_house(data, settings, variables) as house:
        greeting = Greeting(_url(host, sock), data, house, variables)
        drawing: list[asyncio.Task[None]] = []

        def listening() -> None:
            greeting.say()
            if first_picture is not None:
                drawing.append(asyncio.create_task(greeting.draw(first_picture)))

        await _until_stopped(house, sock, listening)
        await asyncio.gather(*drawing)


async def _until_stopped(house: House, sock: socket.socket, listening: Callable[[], None]) -> None:
    caught = _catch_signals()

    def ready() -> None:
        listening()
        if caught:  # in the moment before the server listened to signals itself
            signal.raise_signal(caught[0])

    await answer_requests(application(house), sock, ready)
    await house.gateway.drain(GRACE_S)


def _catch_signals() -> list[int]:
    """The server stops at a signal and raises it once more when it has stopped: here it ends, so that the house closes.

    Whoever presses Ctrl-C twice means now. Nothing is lost by it: what matters is on disk.
    """
    caught: list[int] = []

    def catch(number: int, _: object) -> None:
        caught.append(number)
        if caught.count(signal.SIGINT) > 1:
            os._exit(130)

    signal.signal(signal.SIGTERM, catch)
    signal.signal(signal.SIGINT, catch)
    return caught


def _url(host: str, sock: socket.socket) -> str:
    """Where this machine itself finds the gateway."""
    near = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)
    return f"http://{f'[{near}]' if ':' in near else near}:{sock.getsockname()[1]}"


def _log(level: Level) -> None:
    """Ours as much as was asked for; what libraries have to tell interests nobody before it is a warning."""
    logging.basicConfig(stream=sys.stderr, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    logging.getLogger().setLevel("ERROR" if level == "error" else "WARNING")
    logging.getLogger("pictura").setLevel(level.upper())
