"""A gateway for one picture: in this process, on a free port, in a folder that is gone afterwards."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

from pictura.doors.cli.client import Client
from pictura.doors.house import open_house
from pictura.doors.http.app import application
from pictura.doors.http.server import Server, listen
from pictura.infra.config import Environment, Settings


def with_gateway(work: Callable[[Client], None]) -> None:
    """Run `work` with a client that holds a test key. Nothing of this machine's settings or keys is looked at."""
    logging.getLogger("pictura").setLevel(logging.ERROR)
    with TemporaryDirectory(prefix="pictura-") as folder:
        asyncio.run(_run(Path(folder), work))


async def _run(folder: Path, work: Callable[[Client], None]) -> None:
    with listen("127.0.0.1", 0) as sock:
        async with open_house(folder, Settings(), Environment()) as house:
            server = Server(application(house))
            serving = asyncio.create_task(server.serve([sock]))
            await server.listening.wait()
            try:
                address = f"http://127.0.0.1:{sock.getsockname()[1]}"
                await asyncio.to_thread(work, Client(address, house.first_keys.test))
            finally:
                server.should_exit = True
                await serving
