"""Which dialect does a request speak, and which of its routes is it? Named, never guessed:

mount prefix, a path that belongs to one dialect, the Host, the key's own setting, else `openai`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

import msgspec
from starlette.routing import compile_path

from pictura.core.errors import BadRequest
from pictura.dialects.base import Dialect, Route

FALLBACK = "openai"


class Found(msgspec.Struct, frozen=True):
    """`route` None: this dialect has no such path."""

    dialect: Dialect
    route: Route | None
    place: Mapping[str, str] = {}


class _Table:
    """A dialect's routes: plain paths by lookup, those with variables by pattern."""

    def __init__(self, dialect: Dialect) -> None:
        self.dialect = dialect
        self._plain: dict[tuple[str, str], Route] = {}
        self._patterns: list[tuple[re.Pattern[str], Route]] = []
        for route in dialect.routes:
            if "{" in route.path:
                self._patterns.append((compile_path(route.path)[0], route))
            else:
                self._plain[route.method, route.path] = route

    def find(self, method: str, path: str) -> Found:
        route = self._plain.get((method, path))
        if route is not None:
            return Found(self.dialect, route)
        for pattern, route in self._patterns:
            match = pattern.match(path)
            if match and route.method == method:
                return Found(self.dialect, route, match.groupdict())
        return Found(self.dialect, None)


class Switchboard:
    """`hosts`: the operator's own, beside those that the dialects name."""

    def __init__(self, dialects: Mapping[str, Dialect], hosts: Mapping[str, str]) -> None:
        for host, name in hosts.items():
            if name not in dialects:
                raise BadRequest(
                    f"[server.hosts] {host!r}: there is no dialect {name!r}; there are {', '.join(dialects)}"
                )
        self._tables = {name: _Table(dialect) for name, dialect in dialects.items()}
        self._hosts = {host: name for name, dialect in dialects.items() for host in dialect.hosts}
        self._hosts.update({host.lower(): name for host, name in hosts.items()})
        self._prefixes = {dialect.prefix: name for name, dialect in dialects.items()}

    @property
    def hosts(self) -> list[str]:
        return list(self._hosts)

    def find(self, method: str, path: str, host: str, key_dialect: Callable[[], str]) -> Found:
        """`key_dialect` is asked only where nothing else names the dialect."""
        first = "/" + path.split("/", 2)[1] if path.startswith("/") else ""
        if first in self._prefixes:
            return self._tables[self._prefixes[first]].find(method, path[len(first) :] or "/")
        for table in self._tables.values():
            found = table.find(method, path)
            if found.route is not None and found.route.own:
                return found
        name = self._hosts.get(host.partition(":")[0].lower()) or key_dialect()
        return self._tables[name if name in self._tables else FALLBACK].find(method, path)

    def methods(self, path: str, dialect: Dialect) -> list[str]:
        """With which methods this path would have been right."""
        table = self._tables[dialect.name]
        bare = path.removeprefix(dialect.prefix) if path.startswith(dialect.prefix + "/") else path
        return [method for method in ("GET", "POST", "DELETE") if table.find(method, bare).route is not None]
