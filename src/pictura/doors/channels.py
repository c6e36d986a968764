"""The channels at start: those of the environment, of the settings file and of the console, and the sandbox's own."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from pictura.core.errors import BadRequest
from pictura.infra.config import ChannelSettings, Environment, Settings
from pictura.infra.crypto import Vault
from pictura.infra.db import Database
from pictura.providers.base import Provider
from pictura.providers.plain import SANDBOX_PATH
from pictura.sandbox.base import SECRET as SANDBOX_SECRET
from pictura.store.channels import SANDBOX_PREFIX, ChannelBook, ChannelRecord, from_settings


def open_channels(
    database: Database,
    vault: Vault,
    settings: Settings,
    environment: Environment,
    providers: Mapping[str, Provider],
) -> ChannelBook:
    """All but the sandbox's own. Raises BadRequest for one of the file that cannot be."""
    book = ChannelBook(database, vault)
    named = {channel.provider for channel in settings.channel}
    for record in _of_environment(environment, [p for p in providers.values() if p.live and p.name not in named]):
        book.add(record)
    for channel in settings.channel:
        speaker = _speaker(channel, providers)
        book.add(from_settings(channel, speaker.base_url, environment.variables, "file"))
    book.load({name: provider.base_url for name, provider in providers.items()})
    return book


def live_provider(name: str, providers: Mapping[str, Provider]) -> Provider:
    """The provider that a channel names. Raises BadRequest for one that is not there or has no live wire."""
    found = providers.get(name)
    if found is None or not found.live:
        live = ", ".join(sorted(provider.name for provider in providers.values() if provider.live))
        why = "is not known" if found is None else "is drawn in the sandbox only, so far"
        raise BadRequest(f"provider {name[:60]!r} {why}; there are: {live}", param="provider")
    return found


def sandbox_channel(provider: Provider, address: str, key: str) -> ChannelRecord:
    """The channel to a provider's simulator at the sandbox's `address`."""
    # The test key is the id; what is signed is signed with a word that everybody knows.
    first, *others = provider.env or ("api_key",)
    return ChannelRecord(
        name=SANDBOX_PREFIX + provider.name,
        provider=provider.name,
        base_url=address + (provider.sandbox_path or SANDBOX_PATH),
        secrets={first: key, **dict.fromkeys(others, SANDBOX_SECRET)},
        origin="sandbox",
    )


def _of_environment(environment: Environment, providers: Iterable[Provider]) -> Iterator[ChannelRecord]:
    """A channel for everybody whose secrets are all there, or whose address is."""
    for provider in providers:
        secrets = _found(provider.env, environment)
        address = environment.variables.get(provider.base_url_env, "")
        if (secrets or address) and all(secrets.values()):
            more = {name: value for name, value in _found(provider.optional_env, environment).items() if value}
            options = {name: more.pop(name) for name in provider.channel_options if name in more}
            said = ChannelSettings(
                name=provider.name, provider=provider.name, base_url=address, secrets=secrets | more, options=options
            )
            yield from_settings(said, provider.base_url, {}, "environment")


def _found(wanted: Mapping[str, str], environment: Environment) -> dict[str, str]:
    """By name what the environment has for it, "" where it has nothing."""
    found = environment.variables
    return {name: next((found[var] for var in names.split() if found.get(var)), "") for name, names in wanted.items()}


def _speaker(channel: ChannelSettings, providers: Mapping[str, Provider]) -> Provider:
    """The provider of a channel of the file, which takes its options."""
    try:
        speaker = live_provider(channel.provider, providers)
        speaker.check_options(channel.options)
    except BadRequest as error:
        raise BadRequest(f"channel {channel.name!r}: {error.message}") from None
    return speaker
