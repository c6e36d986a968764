"""Tencent's official clients, which are alike for all of its services."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from types import ModuleType
from typing import ClassVar

import pytest
from tencentcloud.common.abstract_client import AbstractClient
from tencentcloud.common.credential import Credential
from tencentcloud.common.exception.tencent_cloud_sdk_exception import TencentCloudSDKException
from tencentcloud.common.profile.client_profile import ClientProfile
from tencentcloud.common.profile.http_profile import HttpProfile

from pictura.sandbox.base import SECRET
from tests.sandbox.conftest import KEY

Json = dict[str, object]


class Official:
    """One service's client; what it says is checked against its own models on the way."""

    service: ClassVar[str]
    client: ClassVar[type[AbstractClient]]
    models: ClassVar[ModuleType]

    def __init__(self, address: str, secret_key: str = SECRET, region: str = "ap-guangzhou") -> None:
        endpoint = f"{address.removeprefix('http://')}/{self.service}"
        profile = ClientProfile(httpProfile=HttpProfile(protocol="http", endpoint=endpoint))
        self.official = self.client(Credential(KEY, secret_key), region, profile)

    async def call(self, action: str, said: Mapping[str, object]) -> Json:
        request = getattr(self.models, f"{action}Request")()
        request.from_json_string(json.dumps(said))
        response = await asyncio.to_thread(getattr(self.official, action), request)
        told: Json = json.loads(response.to_json_string())
        return told

    async def error(self, action: str, said: Mapping[str, object]) -> str:
        with pytest.raises(TencentCloudSDKException) as caught:
            await self.call(action, said)
        return str(caught.value.code)

    def close(self) -> None:
        self.official.request.conn._session.close()
