"""The doctor: looks at every part of the running house and says what is wrong and what to do. Pays nobody."""

from __future__ import annotations

import asyncio
import os
import shutil
import socket
import stat
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from urllib.parse import urlsplit

import msgspec

from pictura import __version__
from pictura.core import ids
from pictura.core.errors import PicturaError
from pictura.core.request import ImageRequest
from pictura.core.size import Size
from pictura.doors.desk.act import Act
from pictura.doors.desk.channels import rests
from pictura.doors.desk.shapes import Check, Nothing, Report
from pictura.doors.house import House
from pictura.engine.gateway import Draft
from pictura.infra.config import ModelSettings
from pictura.infra.dial import is_public
from pictura.store import audit
from pictura.store.catalog import Listing
from pictura.store.channels import ChannelRecord
from pictura.store.migrate import HEAD

#: Seconds for one look at a channel, and for a picture of the sandbox.
REACH_S = 5.0
DRAW_S = 60.0
LOW_BYTES = 1_000_000_000
#: A clock may differ by so much before URLs expire early and leases go wrong.
CLOCK_MS = 5_000

_KEY_ADVICE = "set a provider's key in the environment (OPENAI_API_KEY, …) and start again, or: pictura channels add"


async def report(act: Act, _: Nothing) -> Report:
    house = act.house
    looks = await asyncio.gather(_database(house), _storage(house), _sandbox(act), *_channels(house))
    checks = [*looks[:2], _secret(house), looks[2], _clock(house), *looks[3:], _models(house), *_settings(house)]
    checks += [Check("plug-in", "warning", f"{b.where}: {b.why}", "mend or uninstall it") for b in house.broken]
    return Report(__version__, checks)


async def _database(house: House) -> Check:
    try:
        await house.database.write(lambda tx: tx.run("UPDATE alembic_version SET version_num = version_num"))
        row = await house.database.browse(lambda tx: tx.one("SELECT version_num FROM alembic_version"))
    except PicturaError as error:
        return Check("database", "error", error.message, "look at the disk that holds it")
    if row is None or row[0] != HEAD:
        return Check("database", "error", f"its schema is {row and row[0]}, not {HEAD}", "start Pictura again")
    return Check("database", "ok", f"{house.database.path.name} can be written, schema {HEAD}")


async def _storage(house: House) -> Check:
    key = f"in/{datetime.now(UTC):%Y-%m-%d}/{ids.new('probe')}.txt"
    spool = house.blobs.spool()
    spool.write(b"pictura")
    try:
        await house.blobs.put(key, spool)
        free = shutil.disk_usage(house.blobs.open(key).path).free
        await house.blobs.delete(key)
    except (OSError, PicturaError) as error:
        return Check("storage", "error", f"cannot be written: {error}", "make room, or give this process the right")
    finally:
        spool.close()
    said = f"can be written, {free / 1e9:,.1f} GB free"
    if free < LOW_BYTES:
        return Check("storage", "warning", said, "make room, or lower [storage] keep_days")
    return Check("storage", "ok", said)


def _secret(house: House) -> Check:
    path = house.database.path.with_name("secret")
    if house.vault.unseal(house.vault.seal("pictura")) != "pictura":
        return Check("secret", "error", "what is sealed cannot be opened", "start again with the right PICTURA_SECRET")
    if path.exists() and stat.S_IMODE(path.stat().st_mode) & 0o077:
        return Check("secret", "warning", f"{path} can be read by others", f"chmod 600 {path}")
    return Check("secret", "ok", "seals channel keys, signs URLs")


async def _sandbox(act: Act) -> Check:
    """A picture of 64 pixels, from gateway to ledger, kept nowhere."""
    key = msgspec.structs.replace(act.key, kind="test", models=(), cap=None)
    request = ImageRequest(model="test/test", prompt="doctor", size=Size(width=64, height=64), delivery="b64_ephemeral")
    started = time.monotonic()
    try:
        handle = await act.house.gateway.submit(Draft(request, key, "openai"))
        try:
            outcome = await asyncio.wait_for(asyncio.shield(handle.outcome), DRAW_S)
        finally:
            handle.leave()
    except PicturaError as error:
        return Check("sandbox", "error", error.message, "look into the log")
    except TimeoutError:
        return Check("sandbox", "error", f"did not draw within {DRAW_S:.0f} s", "look into the log")
    if outcome.error is not None:
        return Check("sandbox", "error", outcome.error.message, "look into the log")
    return Check("sandbox", "ok", f"drew a picture in {1000 * (time.monotonic() - started):.0f} ms")


def _clock(house: House) -> Check:
    """Compared with the last entry of the audit trail: a clock that was set back makes what is new look old."""
    newest = house.database.read(lambda tx: audit.newest(tx, 1))
    ahead_ms = newest[0].at_ms - time.time_ns() // 1_000_000 if newest else 0
    if ahead_ms > CLOCK_MS:
        return Check("clock", "error", f"was set back by {ahead_ms / 1000:,.0f} s or more", "set it right (NTP)")
    return Check("clock", "ok", f"{datetime.now(UTC):%Y-%m-%d %H:%M:%S} UTC")


def _channels(house: House) -> list[asyncio.Task[Check]]:
    records = [record for record in house.channels.all() if not record.sandbox]
    if not records:
        return [asyncio.create_task(_no_channel())]
    return [asyncio.create_task(_channel(house, record)) for record in records]


async def _no_channel() -> Check:
    return Check("channels", "warning", "there is none: only test keys draw", _KEY_ADVICE)


async def _channel(house: House, record: ChannelRecord) -> Check:
    """Whether its address accepts a connection; nothing is asked of it, so nothing is paid."""
    name = f"channel {record.name}"
    if not record.enabled:
        return Check(name, "ok", f"{record.provider}, disabled")
    resting = rests(record.name, house.health)
    if resting:
        models = ", ".join(f"{rest.model} for {rest.seconds} s" for rest in resting)
        return Check(name, "warning", f"rests ({models}): {resting[0].why}", "mend what it says; it is tried again")
    trouble = await _unreachable(record)
    if trouble:
        return Check(name, "error", f"{record.base_url} {trouble[0]}", trouble[1])
    return Check(name, "ok", f"{record.provider} at {record.base_url} accepts connections")


async def _unreachable(record: ChannelRecord) -> tuple[str, str] | None:
    """What is wrong with a channel's address, and what to do."""
    parts = urlsplit(record.base_url)
    port = parts.port or (443 if parts.scheme == "https" else 80)
    loop = asyncio.get_running_loop()
    try:
        async with asyncio.timeout(REACH_S):
            found = await loop.getaddrinfo(parts.hostname, port, type=socket.SOCK_STREAM)
            if not record.allow_private and not all(is_public(str(address[4][0])) for address in found):
                return "leads into a private network", "set allow_private_network = true, if that is meant"
            _, writer = await asyncio.open_connection(parts.hostname, port)
            writer.close()
            await writer.wait_closed()
    except socket.gaierror:
        return "is not known to DNS", "check base_url and this machine's DNS"
    except TimeoutError:
        return f"does not accept a connection within {REACH_S:.0f} s", "check base_url and the firewall"
    except OSError as error:
        return f"cannot be reached ({os.strerror(error.errno or 0)})", "check base_url, and that it is running"
    return None


def _models(house: House) -> Check:
    """Whose built-in card somebody says parts of: that is allowed, and easily forgotten."""
    listings = house.catalog.all()
    overridden = [_overridden(listing, house) for listing in listings if listing.overridden]
    said = f"parts said otherwise of {', '.join(overridden)}" if overridden else "none of the built-in is overridden"
    return Check("models", "ok", f"{len(listings)} cards; {said}")


def _overridden(listing: Listing, house: House) -> str:
    """`dall-e-3 (pictura.toml: price; console: notes)`"""
    id = listing.card.id
    of_file = [entry for entry in house.settings.model if entry.id.lower() == id.lower()]
    of_console = [entry] if (entry := house.cards.get(id)) else []
    who = {"pictura.toml": of_file, "console": of_console}
    told = (f"{name}: {', '.join(_parts(entries))}" for name, entries in who.items() if entries)
    return f"{id} ({'; '.join(told)})"


def _parts(entries: Sequence[ModelSettings]) -> list[str]:
    """What entries say of their model."""
    return list(dict.fromkeys(name for entry in entries for name in msgspec.to_builtins(entry) if name != "id"))


def _settings(house: House) -> list[Check]:
    """What is allowed and may still not be meant."""
    settings = house.settings
    found: list[tuple[str, str]] = []
    if any(channel.api_key for channel in settings.channel):
        found.append(("a [[channel]] holds its api_key in clear", "name the variable that holds it: api_key_env"))
    if settings.server.public_url.startswith("http://") and "localhost" not in settings.server.public_url:
        found.append(("[server] public_url is not https: keys and pictures travel in clear", "put TLS in front"))
    if any(network.endswith("/0") for network in settings.server.trusted_proxies):
        found.append(("[server] trusted_proxies trusts everybody", "name your proxies' own networks"))
    if settings.jobs.on_lost == "resend":
        found.append(("[jobs] on_lost = resend: a vendor may be paid twice", "leave it out, unless that is meant"))
    if not settings.storage.keep_days:
        found.append(("[storage] keep_days = 0: pictures are kept forever", "watch the disk"))
    if not found:
        return [Check("settings", "ok", "nothing to remark")]
    return [Check("settings", "warning", said, advice) for said, advice in found]
