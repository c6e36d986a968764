"""Which dialect does a request speak, and which of its routes is it? Named, never guessed:

mount prefix, a path that belongs to one dialect, the Host, a header in which one dialect alone carries its key, the
key's own setting, else `openai`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping

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
    """Routes: plain paths by lookup, those with variables by pattern."""

    def __init__(self, entries: Iterable[tuple[Dialect, Route]]) -> None:
        self._plain: dict[tuple[str, str], Found] = {}
        self._patterns: list[tuple[re.Pattern[str], Dialect, Route]] = []
        for dialect, route in entries:
            if "{" in route.path:
                # With line ends in names too, so that those are refused as names and not as paths.
                pattern = re.compile(compile_path(route.path)[0].pattern, re.DOTALL)
                self._patterns.append((pattern, dialect, route))
            else:
                self._plain[route.method, route.path] = Found(dialect, route)

    def find(self, method: str, path: str) -> Found | None:
        found = self._plain.get((method, path))
        if found is not None:
            return found
        for pattern, dialect, route in self._patterns:
            match = pattern.fullmatch(path)
            if match and route.method == method:
                return Found(dialect, route, match.groupdict())
        return None


class Switchboard:
    """`hosts`: the operator's own, beside those that the dialects name."""

    def __init__(self, dialects: Mapping[str, Dialect], hosts: Mapping[str, str]) -> None:
        for host, name in hosts.items():
            if name not in dialects:
                raise BadRequest(
                    f"[server.hosts] {host!r}: there is no dialect {name!r}; there are {', '.join(dialects)}"
                )
        entries = [(dialect, route) for dialect in dialects.values() for route in dialect.routes]
        self._dialects = dialects
        self._tables = {
            name: _Table((dialect, route) for route in dialect.routes) for name, dialect in dialects.items()
        }
        self._own = _Table((dialect, route) for dialect, route in entries if route.own)
        self._hosts = {host: name for name, dialect in dialects.items() for host in dialect.hosts}
        self._hosts.update({host.lower(): name for host, name in hosts.items()})
        self._headers = {header: name for name, dialect in dialects.items() for header in dialect.key_headers}
        self._starts = {start: name for name, dialect in dialects.items() for start in dialect.own_paths}
        self._prefixes = {dialect.prefix: name for name, dialect in dialects.items()}

    def owns(self, method: str, path: str) -> bool:
        """Does this path belong to one dialect, whatever else is said?"""
        return self._own.find(method, path) is not None

    def by_header(self, headers: Mapping[str, str], method: str, path: str) -> str:
        """The dialect whose clients alone send such a header, where it knows the path; "" for none."""
        named = (name for header, name in self._headers.items() if header in headers)
        return next((name for name in named if self._tables[name].find(method, path)), "")

    @property
    def hosts(self) -> list[str]:
        return list(self._hosts)

    def find(self, method: str, path: str, host: str, key_dialect: Callable[[], str]) -> Found:
        """`key_dialect` is asked only where nothing else names the dialect."""
        first = "/" + path.split("/", 2)[1] if path.startswith("/") else ""
        if first in self._prefixes:
            bare = path[len(first) :] or "/"
            # Routers have Gemini's paths beside their own.
            return self._find(self._owner(bare) or self._prefixes[first], method, bare)
        own = self._own.find(method, path)
        if own is not None:
            return own
        name = self._owner(path) or self._hosts.get(host.partition(":")[0].lower().rstrip(".")) or key_dialect()
        return self._find(name if name in self._tables else FALLBACK, method, path)

    def _owner(self, path: str) -> str:
        return next((name for start, name in self._starts.items() if path.startswith(start)), "")

    def _find(self, name: str, method: str, path: str) -> Found:
        return self._tables[name].find(method, path) or Found(self._dialects[name], None)

    def methods(self, path: str, dialect: Dialect) -> list[str]:
        """With which methods this path would have been right."""
        bare = path.removeprefix(dialect.prefix) if path.startswith(dialect.prefix + "/") else path
        return [method for method in ("GET", "POST", "DELETE") if self._tables[dialect.name].find(method, bare)]
