"""Which gateway a command talks to, and with which key."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Annotated

from cyclopts import Parameter
from cyclopts.validators import Number

from pictura.core.errors import NotSent, Unauthorized
from pictura.doors.cli import profile
from pictura.doors.cli.client import Client
from pictura.doors.cli.profile import Entry

#: How many rows a gateway is asked for at once.
Limit = Annotated[int, Parameter(validator=Number(gte=1, lte=1000))]
USUAL_URL = "http://127.0.0.1:4000"


@Parameter(name="*")
@dataclass(frozen=True)
class Reach:
    """Options that every command has which talks to a gateway."""

    url: Annotated[
        str,
        Parameter(env_var="PICTURA_URL", help="Address of the gateway; else the one you started last."),
    ] = ""
    key: Annotated[str, Parameter(env_var="PICTURA_KEY", help="Key to use; else the one in your profile.")] = ""

    def find(self) -> Entry | None:
        """The gateway that was named; else the first of the profile (or at the usual address) that answers."""
        known = profile.entries()
        if self.url:
            wanted = Client(self.url).url
            return next((entry for entry in known if entry.url == wanted), Entry(wanted))
        return next((entry for entry in [*known, Entry(USUAL_URL)] if Client(entry.url).alive()), None)

    def administer(self) -> Client:
        """With a key that may administer. Raises NotSent where no gateway answers, Unauthorized without a key."""
        entry = self.find()
        if entry is None:
            raise NotSent("no gateway runs here; start one with: pictura serve (or name one: --url)")
        key = self.key or admin_key(entry)
        if not key:
            raise Unauthorized(f"no admin key for {entry.url} in {profile.path()}; pass one with --key or PICTURA_KEY")
        return Client(entry.url, key)


#: Nothing was said about it.
ANYWHERE = Reach()


def admin_key(entry: Entry) -> str:
    """Of the profile; else what the first start would have taken."""
    return entry.admin_key or os.environ.get("PICTURA_ADMIN_KEY", "")


def test_key(entry: Entry) -> str:
    return entry.test_key or os.environ.get("PICTURA_TEST_KEY", "")
