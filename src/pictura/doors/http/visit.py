"""One HTTP request as the door sees it: who comes, from where, under which name, with which key."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping, Sequence
from functools import cached_property
from urllib.parse import parse_qsl, quote, urlencode

from starlette.types import Scope

from pictura.core import ids
from pictura.core.errors import BadRequest

#: Where clients of one dialect or another carry their key.
KEY_HEADERS = ("x-api-key", "x-goog-api-key", "api-key")
#: Names in a query that go with secrets: `key` is ours and Gemini's, `s` our links' signature; the rest are mistakes.
_SECRET = re.compile(r"key|token|secret|auth|password|^s$", re.IGNORECASE)


class Visit:
    """Read from the ASGI scope; forwarded headers count only from proxies that the operator trusts."""

    def __init__(self, scope: Scope, trusted: Sequence[ipaddress.IPv4Network | ipaddress.IPv6Network]) -> None:
        self.method: str = scope["method"]
        self.path: str = scope["path"]
        self.headers: dict[str, str] = {
            name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]
        }
        self.id = ids.new("req")
        self._scope = scope
        self._peer: str = scope["client"][0] if scope.get("client") else ""
        self._proxies = trusted
        self._trusted = bool(trusted) and _within(self._peer, trusted)

    @cached_property
    def query(self) -> Mapping[str, str]:
        return dict(parse_qsl(self._scope["query_string"].decode("latin-1"), keep_blank_values=True))

    @property
    def host(self) -> str:
        forwarded = self.headers.get("x-forwarded-host", "") if self._trusted else ""
        return (forwarded or self.headers.get("host", "")).split(",")[0].strip()

    @property
    def scheme(self) -> str:
        forwarded = self.headers.get("x-forwarded-proto", "") if self._trusted else ""
        found = forwarded.split(",")[0].strip() or str(self._scope.get("scheme", "http"))
        return found if found in ("http", "https") else "http"

    @property
    def address(self) -> str:
        """The client's own: of a chain of proxies, the nearest that is not trusted; it may forge what lies beyond."""
        here = self._peer
        for further in reversed(self._forwarded_for):
            if not _within(here, self._proxies):
                break
            here = further
        return here

    @property
    def _forwarded_for(self) -> list[str]:
        forwarded = self.headers.get("x-forwarded-for", "") if self._trusted else ""
        return [entry for entry in (entry.strip() for entry in forwarded.split(",")) if entry]

    @property
    def server(self) -> tuple[str, int]:
        host, port = self._scope.get("server") or ("127.0.0.1", 0)
        return str(host), int(port or 0)

    @property
    def key(self) -> str:
        """The key shown, wherever it is carried; "" for none. Raises BadRequest for one no header may hold."""
        scheme, _, rest = self.headers.get("authorization", "").strip().partition(" ")
        shown = rest.strip() if scheme.lower() == "bearer" else scheme if scheme and not rest else ""
        shown = shown or next((self.headers[name].strip() for name in KEY_HEADERS if name in self.headers), "")
        shown = shown or self.query.get("key", "")
        if not shown.isascii() or not shown.isprintable():
            raise BadRequest("the API key holds characters that no key has")
        return shown

    def shown_target(self) -> str:
        """Path and query for a log: on one line, with what may be a key or a signature taken out."""
        path = quote(self.path, errors="replace")
        if not self._scope["query_string"]:
            return path
        shown = {name: "***" if _SECRET.search(name) else value for name, value in self.query.items()}
        return f"{path}?{urlencode(shown, safe='*', errors='replace')}"


def networks(listed: Sequence[str]) -> list[ipaddress.IPv4Network | ipaddress.IPv6Network]:
    """Raises BadRequest naming the entry that is no network."""
    found = []
    for entry in listed:
        try:
            found.append(ipaddress.ip_network(entry, strict=False))
        except ValueError:
            raise BadRequest(f"[server] trusted_proxies: {entry!r} is no network; write 10.0.0.0/8") from None
    return found


def _within(address: str, trusted: Sequence[ipaddress.IPv4Network | ipaddress.IPv6Network]) -> bool:
    try:
        here = ipaddress.ip_address(address)
    except ValueError:
        return False
    return any(here in network for network in trusted)
