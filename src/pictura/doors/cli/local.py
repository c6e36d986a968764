"""A gateway for one task: in this process, on a free port, in a folder that is gone afterwards."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TypeVar

from pictura.doors.cli.profile import Entry
from pictura.doors.house import open_house
from pictura.doors.http.app import application
from pictura.doors.http.server import Server, listen
from pictura.infra.config import Environment, Settings

T = TypeVar("T")

NO_SETTINGS = Settings()
NO_VARIABLES = Environment()


def with_gateway(
    work: Callable[[Entry], T], settings: Settings = NO_SETTINGS, environment: Environment = NO_VARIABLES
) -> T:
    """What `work` gives, done at a gateway of its own. Of this machine's settings and keys it knows what it is told."""
    logging.getLogger("pictura").setLevel(logging.ERROR)
    with TemporaryDirectory(prefix="pictura-") as folder:
        return asyncio.run(_run(Path(folder), work, settings, environment))


async def _run(folder: Path, work: Callable[[Entry], T], settings: Settings, environment: Environment) -> T:
    with listen("127.0.0.1", 0) as sock:
        async with open_house(folder, settings, environment) as house:
            server = Server(application(house))
            serving = asyncio.create_task(server.serve([sock]))
            await server.listening.wait()
            keys = house.first_keys
            try:
                url = f"http://127.0.0.1:{sock.getsockname()[1]}"
                return await asyncio.to_thread(work, Entry(url, str(folder), keys.admin, keys.test))
            finally:
                server.should_exit = True
                await serving
