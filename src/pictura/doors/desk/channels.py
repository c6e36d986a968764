"""Channels: list with their health, make, replace, remove. Their secrets go in and never come out."""

from __future__ import annotations

import re
from urllib.parse import urlsplit

import msgspec

from pictura.core.errors import BadRequest, NotFound
from pictura.doors.channels import live_provider
from pictura.doors.desk.act import Act, dollars, micros
from pictura.doors.desk.shapes import ChannelShown, Nothing, Page, Rest
from pictura.engine.health import Health
from pictura.infra.config import ChannelSettings
from pictura.store.channels import ChannelRecord, from_settings

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,79}")


async def listed(act: Act, _: Nothing) -> Page[ChannelShown]:
    """The sandbox's own are left out."""
    records = [record for record in act.house.channels.all() if not record.sandbox]
    return Page([_shown(record, act.house.health) for record in records])


async def store(act: Act, wanted: ChannelSettings) -> ChannelShown:
    """Make a channel, or replace the one of this name. Without a key, the former key stays, for the same address."""
    provider = live_provider(wanted.provider, act.house.providers)
    _check(act, wanted)
    provider.check_options(wanted.options)
    whole = _with_former_secrets(act, wanted)
    # Read here as at every start: what is in the table must never keep the house from opening.
    record = from_settings(whole, provider.base_url, {}, "console")
    missing = [name for name in provider.env if not record.secrets.get(name)]
    if missing and not wanted.base_url:
        raise BadRequest(f"provider {wanted.provider} needs {' and '.join(missing)}", param=missing[0])
    await act.house.channels.store(whole, act.house.base_urls())
    act.house.health.forget(wanted.name)
    await act.noted("store channel", wanted.name, f"{wanted.provider} {wanted.base_url}".strip())
    return _shown(act.house.channels.get(wanted.name), act.house.health)


async def remove(act: Act, _: Nothing) -> Nothing:
    await act.house.channels.remove(act.place["name"])
    await act.noted("remove channel", act.place["name"])
    return Nothing()


def _check(act: Act, wanted: ChannelSettings) -> None:
    if not _NAME.fullmatch(wanted.name):
        raise BadRequest("name is made of up to 80 letters, digits, dots, dashes and underscores", param="name")
    if any(record.sandbox and record.name == wanted.name for record in act.house.channels.all()):
        raise BadRequest(f"{wanted.name} is a channel of the sandbox; choose another name", param="name")
    if wanted.api_key_env:
        raise BadRequest("api_key_env is for pictura.toml; send the key itself as api_key", param="api_key_env")
    if wanted.base_url:
        _check_address("base_url", wanted.base_url)
    if wanted.proxy:
        _check_address("proxy", wanted.proxy)
    for name, value in wanted.headers.items():
        if not re.fullmatch(r"[A-Za-z0-9-]{1,100}", name) or not re.fullmatch(r"[\x20-\x7e]{0,4000}", value):
            raise BadRequest("headers are names of letters, digits and dashes, and values of ASCII", param="headers")
    for name in ("weight", "priority", "max_concurrency", "timeout_s"):
        if not 0 <= getattr(wanted, name) <= 1_000_000:
            raise BadRequest(f"{name} is a number from 0 to 1000000", param=name)
    if wanted.price and wanted.price.per_picture and micros(wanted.price.per_picture, "price.per_picture") < 0:
        raise BadRequest("price.per_picture is below zero", param="price.per_picture")


def _check_address(name: str, url: str) -> None:
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError:
        raise BadRequest(f"{name} has no good host and port; ports go from 0 to 65535", param=name) from None
    if parts.scheme not in ("http", "https") or " " in url:
        raise BadRequest(f"{name} begins with http:// or https:// and holds no blanks", param=name)


def _with_former_secrets(act: Act, wanted: ChannelSettings) -> ChannelSettings:
    """A key is entered once; but it is not sent to another address than the one it was entered for."""
    if wanted.api_key or wanted.secrets:
        return wanted
    try:
        former = act.house.channels.get(wanted.name)
    except NotFound:
        return wanted
    address = wanted.base_url or act.house.providers[wanted.provider].base_url
    if former.origin != "console" or (former.provider, former.base_url) != (wanted.provider, address):
        return wanted
    return msgspec.structs.replace(wanted, secrets=former.secrets)


def _shown(record: ChannelRecord, health: Health) -> ChannelShown:
    return ChannelShown(
        name=record.name,
        provider=record.provider,
        origin=record.origin,
        base_url=record.base_url,
        secrets=tuple(record.secrets),
        models=None if record.models is None else dict(record.models),
        weight=record.weight,
        priority=record.priority,
        max_concurrency=record.max_concurrency,
        region=record.region,
        allow_private_network=record.allow_private,
        results="relay" if record.relay else "host",
        headers=tuple(record.headers),
        params=dict(record.params),
        options=dict(record.options),
        proxied=bool(record.proxy),
        price_per_picture=None if record.price_per_picture is None else dollars(record.price_per_picture),
        timeout_s=record.timeout_s,
        enabled=record.enabled,
        resting=rests(record.name, health),
    )


def rests(channel: str, health: Health) -> list[Rest]:
    """For which models a channel is not asked just now."""
    return [
        Rest(model, max(1, round(health.rests_s(channel, model))), condition.why)
        for (name, model), condition in health.resting().items()
        if name == channel
    ]
