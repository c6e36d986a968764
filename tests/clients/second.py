"""Programs in an environment of their own, `.venv/clients`: they want other versions of what other tests have."""

from __future__ import annotations

import asyncio
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TypeVar

import msgspec
import pytest

Wanted = TypeVar("Wanted")

PROGRAMS = Path(__file__).parent / "programs"
HOME = Path(__file__).parents[2] / ".venv" / "clients"
PYTHON = HOME / "bin" / "python"
#: LiteLLM fetches a list of prices when it is imported, and LangChain reports to LangSmith, unless told not to.
ENVIRONMENT = {"LITELLM_LOCAL_MODEL_COST_MAP": "True", "LANGSMITH_TRACING": "false"}
#: Longer than any line that holds pictures.
LINE_BYTES = 64 * 1024 * 1024


class Raised(Exception):
    """What a call raised there: the names of its class and of that one's bases, and its `status_code`."""

    def __init__(self, kinds: list[str], status: int | None, message: str) -> None:
        super().__init__(f"{kinds[0]}: {message}")
        self.kinds = kinds
        self.status = status
        self.message = message


class _Raised(msgspec.Struct):
    kinds: list[str]
    status: int | None
    message: str


class _Line(msgspec.Struct):
    strangers: list[str]
    told: msgspec.Raw = msgspec.Raw()
    raised: _Raised | None = None
    missing: str = ""


class Program:
    """One of `programs/`, running; its functions are called one after the other."""

    def __init__(self, process: Process) -> None:
        self._process = process

    async def call(self, wanted: type[Wanted], function: str, **given: object) -> Wanted:
        """What the function tells, as `wanted`. Raises Raised where it raised."""
        assert self._process.stdin is not None
        self._process.stdin.write(msgspec.json.encode({"call": function, "given": given}) + b"\n")
        line = await self.line()
        if line.raised is not None:
            raise Raised(line.raised.kinds, line.raised.status, line.raised.message)
        return msgspec.json.decode(line.told, type=wanted)

    async def line(self) -> _Line:
        assert self._process.stdout is not None
        async with asyncio.timeout(60):
            line = msgspec.json.decode(await self._process.stdout.readline(), type=_Line)
        assert line.strangers == []
        return line


@asynccontextmanager
async def running(name: str) -> AsyncIterator[Program]:
    """Skips the tests that want it where it cannot run, and says why."""
    if not PYTHON.exists():
        pytest.skip(f"{name}: there is no .venv/clients; make test sets it up")
    process = await asyncio.create_subprocess_exec(
        *(PYTHON, PROGRAMS / "serve.py", name), stdin=PIPE, stdout=PIPE, env=ENVIRONMENT, limit=LINE_BYTES
    )
    try:
        program = Program(process)
        missing = (await program.line()).missing
        if missing:
            pytest.skip(f"{name}: .venv/clients has no {missing}; .venv/clients/pip.log says why")
        yield program
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()
