"""`pictura doctor`"""

from __future__ import annotations

import stat
import sys
from typing import Annotated

from cyclopts import Parameter

from pictura.core.errors import BadRequest, PicturaError
from pictura.doors.cli import profile
from pictura.doors.cli.reach import ANYWHERE, Reach
from pictura.doors.cli.tables import as_json, table
from pictura.doors.desk.shapes import Check, Report

_MARKS = {"ok": "✓", "warning": "!", "error": "✗"}


def doctor(
    *channels: str,
    live: bool = False,
    yes: Annotated[bool, Parameter(name=["--yes", "-y"])] = False,
    json: bool = False,
    reach: Reach = ANYWHERE,
) -> int:
    """Look at every part of a running gateway and say what to do.

    Parameters
    ----------
    channels
        With --live: only these channels, or those of these providers.
    live
        Instead of looking, draw a picture through every channel: its smallest by its cheapest model. It costs money.
    yes
        With --live: do not ask before it is drawn.
    json
        As JSON.
    """
    if live:
        from pictura.doors.cli.live import try_channels

        return try_channels(channels, yes=yes, json=json, reach=reach)
    if channels:
        raise BadRequest("channels are named with --live, which draws through them: pictura doctor --live openai")
    checks = [_python(), _profile(), *_gateway(reach)]
    if json:
        as_json(checks)
    else:
        rows = [(_MARKS[check.level], check.name, check.said, check.advice) for check in checks]
        table(("", "what", "found", "what to do"), rows, "")
    return int(any(check.level == "error" for check in checks))


def _gateway(reach: Reach) -> list[Check]:
    try:
        client = reach.administer()
        report = client.ask("GET", "/api/doctor", Report)
    except PicturaError as error:
        return [Check("gateway", "error", error.message, "see the first steps in the README")]
    return [Check("gateway", "ok", f"version {report.version} at {client.url}"), *report.checks]


def _python() -> Check:
    return Check("Python", "ok", f"{'.'.join(str(number) for number in sys.version_info[:3])} at {sys.executable}")


def _profile() -> Check:
    path = profile.path()
    try:
        known = profile.entries()
    except PicturaError as error:
        return Check("profile", "error", error.message)
    if not known:
        return Check("profile", "ok", f"{path}: none yet")
    if stat.S_IMODE(path.stat().st_mode) & 0o077:
        return Check("profile", "warning", f"{path} can be read by others", f"chmod 600 {path}")
    return Check("profile", "ok", f"{path}: {len(known)} gateway{'s' if len(known) > 1 else ''}")
