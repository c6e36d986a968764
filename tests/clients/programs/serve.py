"""Does what a test says, one line of JSON at a time: `python serve.py litellm_images`.

Runs in the environment of requirements-clients.txt, and knows nothing of Pictura. The first line it writes says that
the program beside this file was imported, or what it lacks; then every line read is a call of one of its functions.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
from collections.abc import Callable, Mapping

#: Whom somebody tried to reach who is not this machine; nobody was.
strangers: list[str] = []


def keep_to_loopback(event: str, given: tuple[object, ...]) -> None:
    """An audit hook: who asks for an address of somebody else's, or connects to one, gets an error."""
    if event == "socket.getaddrinfo":
        host = given[0]
    elif event == "socket.connect" and isinstance(given[1], tuple):
        host = given[1][0]
    else:
        return
    if host not in (None, "127.0.0.1", "::1", "localhost", b"127.0.0.1", b"localhost"):
        strangers.append(str(host))
        raise ConnectionRefusedError(f"{host!r} is not this machine")


def answer(function: Callable[..., object], given: Mapping[str, object]) -> dict[str, object]:
    try:
        return {"told": function(**given)}
    except Exception as error:
        kinds = [kind.__name__ for kind in type(error).__mro__]
        return {"raised": {"kinds": kinds, "status": getattr(error, "status_code", None), "message": str(error)}}


def main(name: str) -> None:
    # The libraries print as they like; what is written here must stay readable.
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    sys.addaudithook(keep_to_loopback)

    def tell(told: dict[str, object]) -> None:
        print(json.dumps({**told, "strangers": strangers}, default=str), file=answers, flush=True)

    try:
        program = importlib.import_module(name)
    except ModuleNotFoundError as missing:
        tell({"missing": missing.name})
        return
    tell({})
    for line in sys.stdin:
        asked = json.loads(line)
        tell(answer(getattr(program, asked["call"]), asked["given"]))


if __name__ == "__main__":
    main(sys.argv[1])
