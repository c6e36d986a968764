"""The command line: `pictura serve | generate | edit | models | keys | projects | channels | balance | jobs | doctor`.

A command's module is imported only when it is used, so that `pictura --help` is there at once.
"""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Sequence
from inspect import cleandoc

from cyclopts import App, Parameter
from cyclopts.exceptions import CycloptsError

from pictura import __version__
from pictura.core.errors import PicturaError

#: In the order in which they are needed. After the first line: what only `pictura <command> --help` says.
_COMMANDS = {
    "serve": """Start the gateway.

    SIGTERM or Ctrl-C stops it: what is in flight is finished first. Ctrl-C twice stops it at once.
    """,
    "generate": """Draw a picture from words, and save it.

    With a running gateway; where none runs, one is started for this picture alone, which draws in the sandbox.
    """,
    "edit": "Draw a picture from other pictures and words, and save it.",
    "models": "Which models there are, what they take and what they cost: list, show, set-price, add, remove.",
    "keys": "Keys of clients: list, new, change, disable, enable.",
    "projects": "Projects, which pay for their keys: list, new.",
    "channels": "Accounts at providers: list, add, remove.",
    "balance": "A project's money: show, deposit.",
    "jobs": "What was asked for and what came of it: list, show, cancel, resolve.",
    "doctor": """Look at every part of a running gateway and say what to do.

    The exit code is 1 where something is broken. Nothing that costs money is done: the sandbox draws one small
    picture, channels are only dialled. With --live one real picture is drawn through each channel, after its model,
    its size and what it may cost were said and you said yes; where no gateway runs, one is started for it, with the
    channels of pictura.toml and of the keys in the environment.
    """,
}
_MODULES = {"generate": "draw", "edit": "draw"}
#: These have commands of their own below them.
_GROUPS = frozenset({"models", "keys", "projects", "channels", "balance", "jobs"})


def _default(value: object) -> str | None:
    """How a default is shown: not at all, where it means that nothing was said."""
    return None if value is None or value is False or value in ("", ()) else str(value)


app = App(
    name="pictura",
    help="One self-hosted endpoint for every image model. Begin with: pictura serve",
    version=__version__,
    help_format="plaintext",
    default_parameter=Parameter(negative=(), show_default=_default),
    result_action="return_value",
    exit_on_error=False,
    print_error=False,
)

for _place, (_name, _help) in enumerate(_COMMANDS.items()):
    _what = "app" if _name in _GROUPS else _name
    app.command(
        f"pictura.doors.cli.{_MODULES.get(_name, _name)}:{_what}", name=_name, help=cleandoc(_help), sort_key=_place
    )


def main(arguments: Sequence[str] | None = None) -> None:
    """Run one command and exit: 0 where it went well, 1 after one line on standard error that says what did not."""
    try:
        code = app(list(sys.argv[1:] if arguments is None else arguments))
    except CycloptsError as error:
        command = " ".join(("pictura", *(error.command_chain or ())))
        _fail(f"{' '.join(str(error).split())} See: {command} --help")
    except PicturaError as error:
        _fail(error.message)
    except BrokenPipeError:
        # Whoever read our output has seen enough; nothing more may be flushed into that pipe.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = 0
    except OSError as error:
        _fail(f"{error.filename}: {error.strerror}" if error.filename else str(error))
    except Exception as error:
        if os.environ.get("PICTURA_LOG", "").lower() == "debug":
            traceback.print_exc()
        _fail(f"a bug: {type(error).__name__}: {error} (PICTURA_LOG=debug shows where)")
    sys.exit(code if isinstance(code, int) else 0)


def _fail(message: str) -> None:
    print(f"pictura: {message}", file=sys.stderr)
    sys.exit(1)
