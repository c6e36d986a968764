"""`pictura doctor`"""

from __future__ import annotations

import stat
import sys

from pictura.core.errors import PicturaError
from pictura.doors.cli import profile
from pictura.doors.cli.reach import ANYWHERE, Reach
from pictura.doors.cli.tables import as_json, table
from pictura.doors.desk.shapes import Check, Report

_MARKS = {"ok": "✓", "warning": "!", "error": "✗"}


def doctor(*, json: bool = False, reach: Reach = ANYWHERE) -> int:
    """Look at every part of a running gateway and say what to do.

    Parameters
    ----------
    json
        As JSON.
    """
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
