"""The profile: the gateways that this user started, and the keys made for them. One file, read by nobody else.

`$XDG_CONFIG_HOME/pictura/profile.toml`, else `~/.config/pictura/profile.toml`; mode 0600. The gateway that was started
last stands first. It lies outside the data folders on purpose: a copy of one does not carry the keys to it.
"""

from __future__ import annotations

import fcntl
import json
import os
import tomllib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import msgspec

from pictura.core.errors import BadRequest

_HEAD = "# Written by `pictura serve`. Whoever can read the keys below can spend money: keep this file to yourself.\n"


class Entry(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One gateway: its address, its data folder, and the keys made at its first start ("" where none were)."""

    url: str
    data: str = ""
    admin_key: str = ""
    test_key: str = ""


class _File(msgspec.Struct, frozen=True):
    gateway: list[Entry] = []


def path() -> Path:
    """Where the profile is, or would be."""
    folder = os.environ.get("XDG_CONFIG_HOME", "")
    return Path(folder or _home() / ".config", "pictura", "profile.toml")


def entries() -> list[Entry]:
    """The last started first. Raises BadRequest where the file cannot be understood."""
    try:
        return msgspec.convert(tomllib.loads(path().read_text()), _File).gateway
    except FileNotFoundError:
        return []
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, msgspec.ValidationError) as error:
        raise BadRequest(f"{path()} is not a profile: {error}; mend it, or move it away") from None


def remember(new: Entry, *, first: bool) -> Entry:
    """Put a gateway at the top. After its `first` start it keeps the keys it was given then. Gives what is written."""
    with _alone():
        known = entries()
        former = next((entry for entry in known if entry.data == new.data), None)
        if former is not None and not first:
            new = msgspec.structs.replace(former, url=new.url)
        _write([new, *(entry for entry in known if entry.data != new.data)])
    return new


def _home() -> Path:
    try:
        return Path.home()
    except RuntimeError:  # a user without a name, as containers have them
        return Path("/")


@contextmanager
def _alone() -> Iterator[None]:
    """Two gateways may start at once; each reads what the other wrote."""
    folder = path().parent
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def _write(gateways: Sequence[Entry]) -> None:
    """Whole or not at all, and at no moment readable by others."""
    fresh = path().with_suffix(".new")
    fresh.unlink(missing_ok=True)
    handle = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(handle, "w") as file:
        file.write(_HEAD + "".join(_section(entry) for entry in gateways))
        file.flush()
        os.fsync(file.fileno())
    fresh.replace(path())


def _section(entry: Entry) -> str:
    # A JSON string is a TOML string.
    lines = [f"{name} = {json.dumps(value)}" for name, value in msgspec.structs.asdict(entry).items() if value]
    return "\n".join(["", "[[gateway]]", *lines, ""])
