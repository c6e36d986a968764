"""The sandbox: simulated vendors on a loopback port of their own, for test keys."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack
from pathlib import Path
from tempfile import TemporaryDirectory

from aiohttp import web

from pictura.core.plugins import discover
from pictura.sandbox.base import Simulator, Studio

#: Drawings at a time. They share the machine with a gateway.
THREADS = 2
#: Seconds that answers under way are given when the sandbox closes.
CLOSING_SECONDS = 10


class Sandbox:
    """Every simulator there is, each below its name: `<address>/openai`, `<address>/plain`, …

    `accepts` says which keys open it; its files lie in `folder`, a temporary one by default. Broken third-party
    simulators are skipped; `core.plugins.discover` names them.
    """

    def __init__(self, *, accepts: Callable[[str], bool], folder: Path | None = None) -> None:
        self._accepts = accepts
        self._folder = folder
        self._open = AsyncExitStack()

    async def start(self) -> str:
        """Listen on a free port of 127.0.0.1; the answer is the base address, `http://127.0.0.1:<port>`."""
        async with AsyncExitStack() as opening:
            folder = self._folder or Path(opening.enter_context(TemporaryDirectory(prefix="pictura-sandbox-")))
            folder.mkdir(parents=True, exist_ok=True)
            threads = ThreadPoolExecutor(THREADS, thread_name_prefix="sandbox")
            opening.push_async_callback(asyncio.to_thread, threads.shutdown, cancel_futures=True)
            studio = Studio(self._accepts, folder, threads)
            opening.callback(studio.shelf.close)
            # Cancelled with its caller, a stalled answer does not outlive the test that wanted it.
            runner = web.AppRunner(
                _application(studio), handler_cancellation=True, access_log=None, shutdown_timeout=CLOSING_SECONDS
            )
            await runner.setup()
            opening.push_async_callback(runner.cleanup)
            opening.callback(studio.closing.set)
            await web.TCPSite(runner, "127.0.0.1", 0).start()
            studio.address = f"http://127.0.0.1:{runner.addresses[0][1]}"
            self._open = opening.pop_all()
        return studio.address

    async def close(self) -> None:
        """Finish what is being answered, then forget everything."""
        await self._open.aclose()


def _application(studio: Studio) -> web.Application:
    application = web.Application()
    application.router.add_get("/files/{name}", studio.shelf.serve)
    simulators, _ = discover("pictura.sandbox", "pictura.simulators", Simulator)  # type: ignore[type-abstract]  # it is looked for, not made
    for name, simulator in simulators.items():
        vendor = web.Application()
        vendor.add_routes(simulator(studio).routes())
        application.add_subapp(f"/{name}", vendor)
    return application
