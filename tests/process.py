"""The gateway as its operator runs it: `pictura serve` in a process of its own, which may be killed."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import sqlite3
import sys
from contextlib import closing
from pathlib import Path

from pictura.infra.db import Row
from tests.doors.door import ADMIN, MODEL, TEST
from tests.upstream import KEY, Upstream


class Process:
    """One data folder; `start` and `kill` as often as you like. Its channel leads to `upstream`, a picture costs $0.04.

    The database is read from outside, as an operator might: it belongs to the gateway only for writing.
    """

    def __init__(self, folder: Path, upstream: Upstream) -> None:
        self.data = folder / "data"
        self.url = ""
        self.told = b""
        self._folder = folder
        self._process: asyncio.subprocess.Process | None = None
        self._listening: asyncio.Task[None] | None = None
        (folder / "pictura.toml").write_text(_settings(upstream))

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    @property
    def port(self) -> int:
        return int(self.url.rpartition(":")[2])

    async def start(self) -> None:
        """Returns once it listens."""
        home = str(self._folder / "home")
        variables = {"HOME": home, "XDG_CONFIG_HOME": home, "PICTURA_ADMIN_KEY": ADMIN, "PICTURA_TEST_KEY": TEST}
        kept = {name: os.environ[name] for name in ("PATH", "PYTHONPATH", "LANG") if name in os.environ}
        command = ("serve", "--host", "127.0.0.1", "--port", "0", "--data", str(self.data))
        self._process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "pictura", *command, "--config", str(self._folder / "pictura.toml")),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            env={**kept, **variables},
            cwd=self._folder,
        )
        async with asyncio.timeout(10):
            self.url = await self._address()
        self._listening = asyncio.create_task(self._listen())

    async def kill(self) -> None:
        """kill -9."""
        await self._end(signal.SIGKILL)

    async def stop(self) -> int:
        """SIGTERM; gives the exit code."""
        return await self._end(signal.SIGTERM)

    def terminate(self) -> None:
        """SIGTERM, without waiting."""
        os.kill(self.pid, signal.SIGTERM)

    def rows(self, sql: str) -> list[Row]:
        with closing(sqlite3.connect(f"file:{self.data / 'pictura.db'}?mode=ro", uri=True)) as connection:
            return connection.execute(sql).fetchall()

    def files(self, kind: str) -> list[Path]:
        return [path for path in (self.data / "blobs" / kind).rglob("*") if path.is_file()]

    def peak_memory(self) -> int:
        """Bytes, of resident memory, so far."""
        found = re.search(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{self.pid}/status").read_text())
        assert found is not None
        return int(found[1]) * 1024

    async def _end(self, number: signal.Signals) -> int:
        if self._process is None or self._listening is None:
            return 0
        if self._process.returncode is None:
            self._process.send_signal(number)
        code = await self._process.wait()
        await self._listening
        self._process = None
        return code

    async def _address(self) -> str:
        assert self._process is not None and self._process.stdout is not None
        while line := await self._process.stdout.readline():
            self.told += line
            if found := re.search(rb"listens on (http://\S+)", line):
                return found[1].decode()
        raise AssertionError(f"the gateway did not start: {self.told.decode()}")

    async def _listen(self) -> None:
        assert self._process is not None and self._process.stdout is not None
        self.told += await self._process.stdout.read()


def _settings(upstream: Upstream) -> str:
    return f"""
[[channel]]
name = "main"
provider = "openai"
api_key = {json.dumps(KEY)}
base_url = {json.dumps(upstream.url)}
models = [{json.dumps(MODEL)}]
allow_private_network = true
price = {{per_picture = "0.04"}}
"""
