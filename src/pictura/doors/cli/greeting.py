"""What `pictura serve` says once it listens: where it is, which keys open it, what to try, where to read on."""

from __future__ import annotations

import asyncio
import sys
import time
from pathlib import Path

import pictura
from pictura.core.errors import PicturaError
from pictura.doors.cli import profile
from pictura.doors.cli.client import Client, json_body
from pictura.doors.cli.draw import GENERATIONS, MODEL, Wish, describe, fields
from pictura.doors.cli.profile import Entry
from pictura.doors.house import House
from pictura.infra.config import Environment

PROMPT = "misty mountains at sunrise, soft light"


class Greeting:
    def __init__(self, url: str, data: Path, house: House, variables: Environment) -> None:
        self._url = url
        self._data = data
        self._variables = variables
        self._first = house.first_keys
        self._channels = [record.name for record in house.channels.all() if not record.sandbox and record.enabled]
        self._entry, self._written = self._remember()

    def say(self) -> None:
        """On standard output, at once: somebody, or a script, waits for it."""
        lines = [f"Pictura {pictura.__version__} listens on {self._url} (data: {self._data})", ""]
        lines += self._first_start() if self._first.admin else [f"Keys: {self._where_keys_are()}"]
        lines += ["", f"Live channels: {', '.join(self._channels)}" if self._channels else _NO_CHANNELS, _docs()]
        print("\n".join(lines), flush=True)

    async def draw(self, file: Path) -> None:
        """A first picture, from door to ledger, with the test key."""
        key = self._entry.test_key or self._variables.test_key
        if not key:
            print(f"no first picture: the test key is not in {profile.path()}", file=sys.stderr)
            return
        try:
            told = await asyncio.to_thread(_draw, Client(self._url, key), file)
        except (PicturaError, OSError) as error:
            print(f"no first picture: {error}", file=sys.stderr)
        else:
            print(f"\nFirst picture: {told}", flush=True)

    def _first_start(self) -> list[str]:
        """Keys that were made here are shown this once; those that were given are known to whoever gave them."""
        given = self._variables
        admin = "the one in PICTURA_ADMIN_KEY" if given.admin_key else self._first.admin
        test = "the one in PICTURA_TEST_KEY" if given.test_key else self._first.test
        kept = f"; the command line finds them in {profile.path()}" if self._written else ": keep them now"
        return [
            f"  Admin key  {admin}",
            f"  Test key   {test}",
            *([] if given.admin_key and given.test_key else [f"  Shown this once{kept}"]),
            "",
            "Try it:",
            f"  {_curl(self._url, '$PICTURA_TEST_KEY' if given.test_key else self._first.test)}",
            f"  {_command()} generate 'a lighthouse at dusk'",
        ]

    def _where_keys_are(self) -> str:
        if self._entry.admin_key or self._entry.test_key:
            return f"in {profile.path()}, since the first start"
        return f"those of the first start; {profile.path()} of this user does not hold them"

    def _remember(self) -> tuple[Entry, bool]:
        """Into the profile, where the command line finds this gateway. A key that was given is not written down."""
        new = Entry(
            self._url,
            str(self._data.resolve()),
            admin_key="" if self._variables.admin_key else self._first.admin,
            test_key="" if self._variables.test_key else self._first.test,
        )
        try:
            return profile.remember(new, first=bool(self._first.admin)), True
        except (PicturaError, OSError) as error:
            print(f"{profile.path()} could not be written: {error}", file=sys.stderr)
            return new, False


_NO_CHANNELS = (
    "No provider's key was found, so only test keys draw: every model, in the sandbox, for nothing.\n"
    "For real pictures set OPENAI_API_KEY (or another provider's) and start again, or: pictura channels add"
)


def _draw(client: Client, file: Path) -> str:
    started = time.monotonic()
    drawn = client.draw(GENERATIONS, json_body(fields(PROMPT, Wish(size="1024x1024", output=file))))
    _, media = client.save(drawn.urls[0], file.parent, lambda _: file)
    return f"{describe(file, media)}, by {MODEL} in the sandbox, {time.monotonic() - started:.1f} s"


def _curl(url: str, key: str) -> str:
    body = '{"model": "' + MODEL + '", "prompt": "a red fox", "response_format": "url"}'
    return (
        f'curl {url}/v1/images/generations -H "Authorization: Bearer {key}" '
        f"-H 'Content-Type: application/json' -d '{body}'"
    )


def _command() -> str:
    """How this program was called: a fresh clone has it in .venv/bin, which no PATH knows."""
    program = Path(sys.argv[0])
    return f"{program}" if program.name == "pictura" else "pictura"


def _docs() -> str:
    folder = Path(pictura.__file__).parents[2] / "docs"
    if not folder.is_dir():
        return f"Docs: {_command()} --help"
    near = folder.relative_to(Path.cwd()) if folder.is_relative_to(Path.cwd()) else folder
    return f"Docs: {near}/ and {_command()} --help"
