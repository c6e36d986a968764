"""One provider and one gateway for a module's tests; each test finds the provider as new and the channels well."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import pytest
import pytest_asyncio

from tests.doors.door import Door, open_door
from tests.upstream import Upstream, running


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shared_upstream() -> AsyncIterator[Upstream]:
    async with running(Upstream()) as upstream:
        yield upstream


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shared_door(tmp_path_factory: pytest.TempPathFactory, shared_upstream: Upstream) -> AsyncIterator[Door]:
    async with open_door(tmp_path_factory.mktemp("house"), shared_upstream) as door:
        yield door


@pytest.fixture
def upstream(shared_upstream: Upstream) -> Iterator[Upstream]:
    shared_upstream.reset()
    yield shared_upstream
    shared_upstream.reset()


@pytest.fixture
def door(shared_door: Door, upstream: Upstream) -> Door:
    for record in shared_door.house.channels.all():
        shared_door.house.health.forget(record.name)
    return shared_door
