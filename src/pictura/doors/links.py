"""URLs of pictures: signed, expiring, and recognised when they come back as references."""

from __future__ import annotations

import ipaddress
import re
import time
from collections.abc import Iterable, Mapping
from functools import lru_cache
from urllib.parse import parse_qs, urlsplit

from pictura.core.errors import NotFound
from pictura.infra.config import Settings
from pictura.infra.crypto import Vault

FILES = "/files/"

_MOMENT = re.compile(r"[0-9]{1,12}")
_HOST = re.compile(r"([A-Za-z0-9._-]+|\[[0-9a-fA-F:.]+\])(:[0-9]{1,5})?")


class Links:
    def __init__(self, vault: Vault, settings: Settings) -> None:
        self._vault = vault
        self._public_url = settings.server.public_url.rstrip("/")
        self._public_host = urlsplit(self._public_url).hostname
        self._ttl_s = int(settings.storage.url_ttl_hours * 3600)
        self._hosts = {host.lower() for host in settings.server.hosts}

    def know(self, hosts: Iterable[str]) -> None:
        """Further hosts under which clients may be told to find pictures: those of the dialects."""
        self._hosts.update(host.lower() for host in hosts)

    def sign(self, base: str, key: str) -> str:
        """The URL of a blob, good from now for `url_ttl_hours`."""
        expires_s = int(time.time()) + self._ttl_s
        return f"{base}{FILES}{key}?e={expires_s}&s={self._vault.sign(_text(key, str(expires_s)))}"

    def public(self, key: str) -> str:
        """A URL that a vendor can fetch; "" where nobody said under which address this house is reached."""
        return self.sign(self._public_url, key) if self._public_url else ""

    def base(self, scheme: str, host: str, server: tuple[str, int]) -> str:
        """What a picture's URL begins with. A Host header is repeated only where it is known: it is the client's."""
        if self._public_url:
            return self._public_url
        found = _HOST.fullmatch(host)
        if found and self._is_here(found[1]):
            return f"{scheme}://{host}"
        address = f"[{server[0]}]" if ":" in server[0] else server[0]
        return f"{scheme}://{address}:{server[1]}"

    def check(self, key: str, query: Mapping[str, str]) -> int:
        """Seconds for which this URL is still good. Raises NotFound where it is not, or never was."""
        expires, signature = query.get("e", ""), query.get("s", "")
        if not _MOMENT.fullmatch(expires) or not self._vault.verify(_text(key, expires), signature):
            raise NotFound("this link is not one of this house's; ask for the picture's URL again")
        left_s = int(expires) - int(time.time())
        if left_s <= 0:
            raise NotFound("this link has expired; ask for the picture's URL again")
        return left_s

    def own_key(self, url: str) -> str:
        """The blob's key where `url` is a good link of this house, under whatever host; else "".

        Raises NotFound where it looks like one, and stands under a host of this house, but is not good.
        """
        try:
            parts = urlsplit(url)
        except ValueError:
            return ""
        if not parts.path.startswith(FILES):
            return ""
        key = parts.path.removeprefix(FILES)
        query = {name: values[0] for name, values in parse_qs(parts.query).items()}
        try:
            self.check(key, query)
        except NotFound:
            if query.keys() >= {"e", "s"} and self._is_here(parts.hostname or ""):
                raise
            return ""
        return key

    def _is_here(self, host: str) -> bool:
        """Is this a host, without its port, under which this house may be reached?"""
        return host.lower() in self._hosts or host == self._public_host or _is_local(host)


def _text(key: str, expires: str) -> str:
    return f"{key}\n{expires}"


@lru_cache(maxsize=256)
def _is_local(host: str) -> bool:
    if host.lower() == "localhost":
        return True
    try:
        ipaddress.ip_address(host.strip("[]"))
    except ValueError:
        return False
    return True
