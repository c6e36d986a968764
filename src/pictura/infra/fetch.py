"""Pictures that somebody else's URL leads to: a caller's reference, a provider's result.

The URL is a stranger's. So: http and https only, no credentials, no address of a private network (`infra.dial` looks
at the socket that is dialled, for every redirect anew), a cap on bytes counted as they arrive and unpacked, and a cap
on the time for all of it together, which a server that drips cannot stretch.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Iterable

import aiohttp
from aiohttp.abc import AbstractResolver
from yarl import URL

from pictura.core.errors import BadRequest, TooLarge
from pictura.infra.dial import SLOT_READ_BYTES, BadUrl, Dialler, explain, parse_url, read_url
from pictura.infra.spool import Spool

_REDIRECTS = (301, 302, 303, 307, 308)
_SHOWN_CHARS = 200
_CREDENTIALS = re.compile(r"//[^/]*@")


class FetchFailed(BadRequest):
    """The picture could not be fetched. Whoever knows which parameter held the URL adds `param`."""


class FetchTooLarge(FetchFailed, TooLarge):
    """… because it is larger than it may be."""


class Fetcher:
    """One for a process.

    `transfers` bounds the downloads that run at once; it should not be the one of the provider client, or strangers'
    slow servers would hold up what was paid for. `allow` as in `Dialler`; `proxy` is the URL of an egress proxy.
    """

    def __init__(
        self,
        *,
        open_spool: Callable[[], Spool],
        transfers: asyncio.Semaphore,
        allow: Iterable[tuple[str, int]] = (),
        resolver: AbstractResolver | None = None,
        proxy: str | None = None,
    ) -> None:
        self._open_spool = open_spool
        self._transfers = transfers
        self._proxy = proxy
        self._dialler = Dialler(allow=allow, resolver=resolver)

    async def picture(
        self, url: str, *, cap_bytes: int, timeout_s: float = 30, max_redirects: int = 3, private: bool = False
    ) -> Spool:
        """What is at `url`, unseen: its `media_type` is what the server called it.

        `private`: it may lead into a private network. The caller closes the spool. Raises FetchFailed, FetchTooLarge.
        """
        try:
            async with asyncio.timeout(timeout_s):
                return await self._follow(parse_url(url), cap_bytes, max_redirects, private)
        except _Oversized as error:
            raise FetchTooLarge(_message(url, str(error))) from None
        except (BadUrl, _Refused) as error:
            raise FetchFailed(_message(url, str(error))) from None
        except TimeoutError:
            raise FetchFailed(_message(url, f"it took longer than {timeout_s:g} s")) from None
        except (aiohttp.ClientError, UnicodeError) as error:
            # Not `from error`: aiohttp's messages hold the URL with its query, often a signature.
            raise FetchFailed(_message(url, f"its server {explain(error)}")) from None

    async def close(self) -> None:
        await self._dialler.close()

    async def _follow(self, url: URL, cap_bytes: int, max_redirects: int, private: bool) -> Spool:
        for _ in range(max_redirects + 1):
            async with await self._get(url, private) as response:
                if response.status not in _REDIRECTS:
                    return await self._save(response, cap_bytes)
                url = _next_url(url, response.headers.get("Location", ""))
        raise _Refused(f"it redirects more than {max_redirects} times")

    async def _get(self, url: URL, private: bool) -> aiohttp.ClientResponse:
        if url.user is not None or url.password is not None:
            raise _Refused("its URL must not hold credentials")
        try:
            session = await self._dialler.session(url, private=private, proxied=bool(self._proxy))
        except OSError as error:
            raise _Refused(f"its server {explain(error)}") from None
        headers = {"Accept": "image/*, */*;q=0.1"}
        limit = aiohttp.ClientTimeout(total=None)
        return await session.get(url, headers=headers, allow_redirects=False, proxy=self._proxy, timeout=limit)

    async def _save(self, response: aiohttp.ClientResponse, cap_bytes: int) -> Spool:
        if response.status != 200:
            raise _Refused(f"it answered {response.status}")
        if (response.content_length or 0) > cap_bytes:
            raise _Oversized(cap_bytes)
        spool = self._open_spool()
        spool.media_type = response.content_type
        try:
            async with self._transfers:
                await _pour(response.content, spool, cap_bytes)
        except BaseException:
            spool.close()
            raise
        return spool


class _Refused(Exception):
    """Our own words, fit for the message."""


class _Oversized(_Refused):
    def __init__(self, cap_bytes: int) -> None:
        super().__init__(f"it is larger than {cap_bytes} bytes")


async def _pour(source: aiohttp.StreamReader, spool: Spool, cap_bytes: int) -> None:
    source.set_read_chunk_size(SLOT_READ_BYTES)
    async for chunk in source.iter_any():
        # A server may have announced less than it sends.
        if spool.size + len(chunk) > cap_bytes:
            raise _Oversized(cap_bytes)
        spool.write(chunk)


def _next_url(url: URL, location: str) -> URL:
    if not location:
        raise _Refused("it redirects to nowhere")
    target = parse_url(str(url.join(read_url(location))))
    if url.scheme == "https" and target.scheme == "http":
        raise _Refused("it redirects from https to http")
    return target


def _message(url: str, reason: str) -> str:
    """Without the query, which may be a signature, and without credentials."""
    shown = _CREDENTIALS.sub("//", url.partition("?")[0].partition("#")[0])
    return f"The picture at {shown[:_SHOWN_CHARS]} could not be fetched: {reason}."
