"""From what a provider handed over to what is kept: fetched, sniffed, checked for wholeness, transcoded, stored."""

from __future__ import annotations

import asyncio
import logging

import msgspec

from pictura.core import media
from pictura.core.errors import BadRequest, HouseError, Malformed
from pictura.core.media import Media
from pictura.core.result import Delivered
from pictura.engine.intake import day_of
from pictura.infra.blobs import Blobs
from pictura.infra.fetch import Fetcher, FetchFailed, FetchTooLarge
from pictura.infra.imaging import Imaging
from pictura.infra.spool import Spool
from pictura.providers.base import Raw

log = logging.getLogger("pictura.deliver")

#: The most that a provider's picture may have, in bytes.
LARGEST_PICTURE = 100_000_000
#: A vendor's file server may be slow; its picture is paid.
FETCH_S = 120
#: Seconds before each further try.
FETCH_PAUSES_S = (0.2, 1.0)


class Wish(msgspec.Struct, frozen=True):
    """How a job's pictures shall be. `output_format` "" takes what comes; `relay` hands an upstream's URL on; `inline`:
    the answer holds the bytes, and follows at once.

    `compress`: nobody told the vendor the `output_compression`, so that what comes in the right format needs it too.
    """

    job_id: str
    output_format: str = ""
    output_compression: int | None = None
    compress: bool = False
    relay: bool = False
    allow_private: bool = False
    ephemeral: bool = False
    inline: bool = False


class Deliverer:
    """What is not stored, because its job is ephemeral, or need not be read again from where it is stored, stays in
    the caller's hands: spools by the picture's key.
    """

    def __init__(self, blobs: Blobs, fetcher: Fetcher, imaging: Imaging) -> None:
        self._blobs = blobs
        self._fetcher = fetcher
        self._imaging = imaging

    async def deliver(self, raw: Raw, wish: Wish, part: int, number: int, held: dict[str, Spool]) -> Delivered:
        """One picture, safe. Raises Malformed where what came is no whole picture."""
        if raw.url and wish.relay:
            return Delivered(url=raw.url, revised_prompt=raw.revised_prompt, seed=raw.seed)
        spool = raw.spool or await self._fetch(raw.url, wish)
        try:
            found = _examined(spool, raw.flaw)
            if wish.output_format and (wish.output_format != found.format or wish.compress):
                spool, found = await self._transcode(spool, wish)
            key = _key(wish, part, number, found)
            if not wish.ephemeral:
                await self._keep(key, spool, wish)
            if wish.ephemeral or (wish.inline and spool.in_memory):
                held[key] = spool
        finally:
            if spool not in held.values():
                spool.close()
        return Delivered(
            key=key,
            media_type=found.type,
            width=found.width,
            height=found.height,
            bytes=spool.size,
            revised_prompt=raw.revised_prompt,
            seed=raw.seed,
        )

    async def _keep(self, key: str, spool: Spool, wish: Wish) -> None:
        try:
            await self._blobs.put(key, spool, read_soon=not wish.inline)
        except HouseError as error:
            if not (wish.inline and spool.in_memory):
                raise
            # It is paid, and the answer can hold it all the same.
            log.error("%s could not be kept, and is in the answer alone: %s", key, error.message)

    async def recover(self, wish: Wish, part: int) -> list[Delivered]:
        """The pictures of a part that were stored before a crash kept the job from saying so."""
        keys = await self._blobs.find(f"out/{day_of(wish.job_id)}/{wish.job_id}-{part}-")
        found = []
        for key in sorted(keys, key=_number):
            blob = self._blobs.open(key)
            try:
                seen = media.sniff(blob.read, blob.size)
            except BadRequest:
                continue  # torn by a power cut
            if media.flaw(blob.read, blob.size, seen):
                continue
            found.append(
                Delivered(key=key, media_type=seen.type, width=seen.width, height=seen.height, bytes=blob.size)
            )
        return found

    async def _fetch(self, url: str, wish: Wish) -> Spool:
        """The picture is paid: a download that fails is tried again."""
        for pause_s in (*FETCH_PAUSES_S, None):
            try:
                return await self._fetcher.picture(
                    url, cap_bytes=LARGEST_PICTURE, timeout_s=FETCH_S, private=wish.allow_private
                )
            except FetchFailed as error:
                if pause_s is None or isinstance(error, FetchTooLarge):
                    raise Malformed(f"the provider made a picture, but it could not be had: {error.message}") from None
                await asyncio.sleep(pause_s)
        raise AssertionError("the last pause is None")

    async def _transcode(self, spool: Spool, wish: Wish) -> tuple[Spool, Media]:
        """As the format asked for; the spool that came is closed."""
        try:
            made = await self._imaging.transcode(
                spool, self._blobs.spool, format=wish.output_format, compression=wish.output_compression
            )
        except BadRequest as error:
            raise Malformed(f"the provider's picture cannot be decoded: {error.message}") from None
        spool.close()
        return made, media.sniff(made.read, made.size)


def _examined(spool: Spool, flaw: str) -> Media:
    if flaw:
        raise Malformed(f"the provider's picture is not whole: {flaw}")
    try:
        found = media.sniff(spool.read, spool.size)
        media.guard(found)
    except BadRequest as error:
        raise Malformed(f"what the provider sent is no picture: {error.message}") from None
    broken = media.flaw(spool.read, spool.size, found)
    if broken:
        raise Malformed(f"the provider's picture is not whole: {broken}")
    return found


def _number(key: str) -> int:
    """Which picture of its part: `out/2026-11-20/job_01jd…-0-12.png` → 12."""
    return int(key.rpartition("-")[2].partition(".")[0])


def _key(wish: Wish, part: int, number: int, found: Media) -> str:
    # Made of the job's id alone, so that after a crash a stored picture is found without a row that names it.
    return f"out/{day_of(wish.job_id)}/{wish.job_id}-{part}-{number}.{found.extension}"
