"""The sandbox: simulated vendors on a loopback port of their own, for test keys."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack
from pathlib import Path
from tempfile import TemporaryDirectory

from aiohttp import web
from aiohttp.typedefs import Handler

from pictura.core.plugins import Broken, build, discover
from pictura.sandbox.base import BASE_HEADER, CALLER, CLIENT_HEADER, Caller, Simulator, Studio

#: Drawings at a time. They share the machine with a gateway.
THREADS = 2
#: Seconds that answers under way are given when the sandbox closes.
CLOSING_SECONDS = 10


class Sandbox:
    """Every simulator there is, each below its name: `<address>/openai`, `<address>/plain`, …

    `accepts` says which keys open it; its files lie in `folder`, a temporary one by default, and what simulators
    remember lies in folders in there. A door that forwards requests to it says in two headers what its clients call the
    sandbox, and for whom it forwards.
    """

    def __init__(self, *, accepts: Callable[[str], bool], folder: Path | None = None) -> None:
        self._accepts = accepts
        self._folder = folder
        self._open = AsyncExitStack()
        #: "http://127.0.0.1:<port>", once it listens.
        self.address = ""
        #: Strangers' simulators that cannot be used; the others are there without them.
        self.broken: list[Broken] = []

    async def start(self) -> str:
        """Listen on a free port of 127.0.0.1; the answer is the base address, `http://127.0.0.1:<port>`."""
        async with AsyncExitStack() as opening:
            folder = self._folder or Path(opening.enter_context(TemporaryDirectory(prefix="pictura-sandbox-")))
            _make(folder)
            threads = ThreadPoolExecutor(THREADS, thread_name_prefix="sandbox")
            opening.push_async_callback(asyncio.to_thread, threads.shutdown, cancel_futures=True)
            studio = Studio(self._accepts, folder, threads)
            opening.callback(studio.shelf.close)
            application, self.broken = _application(studio)
            # Cancelled with its caller, a stalled answer does not outlive the test that wanted it.
            runner = web.AppRunner(
                application, handler_cancellation=True, access_log=None, shutdown_timeout=CLOSING_SECONDS
            )
            await runner.setup()
            opening.push_async_callback(runner.cleanup)
            opening.callback(studio.closing.set)
            await web.TCPSite(runner, "127.0.0.1", 0).start()
            self.address = studio.own_address = f"http://127.0.0.1:{runner.addresses[0][1]}"
            self._open = opening.pop_all()
        return self.address

    async def close(self) -> None:
        """Finish what is being answered, then forget everything."""
        await self._open.aclose()


def _make(folder: Path) -> None:
    """… with none of the files that a killed process left behind."""
    folder.mkdir(parents=True, exist_ok=True)
    for left in folder.iterdir():
        if left.is_file():
            left.unlink()


@web.middleware
async def _know_caller(request: web.Request, handler: Handler) -> web.StreamResponse:
    headers = request.headers
    caller = Caller(headers.get(CLIENT_HEADER) or request.remote or "", headers.get(BASE_HEADER, ""))
    before = CALLER.set(caller)
    try:
        return await handler(request)
    finally:
        CALLER.reset(before)


def _application(studio: Studio) -> tuple[web.Application, list[Broken]]:
    application = web.Application(middlewares=[_know_caller])
    application.router.add_get("/files/{name}", studio.shelf.serve)
    simulators, broken = discover("pictura.sandbox", "pictura.simulators", Simulator)  # type: ignore[type-abstract]  # it is looked for, not made
    vendors, unfit = build(simulators, lambda simulator: _vendor(simulator(studio)))
    for name, vendor in vendors.items():
        application.add_subapp(f"/{name}", vendor)
    return application, [*broken, *unfit]


def _vendor(simulator: Simulator) -> web.Application:
    vendor = web.Application()
    vendor.add_routes(simulator.routes())
    return vendor
