"""The admin API, below `/api`: what the CLI and the console are made of. Needs a key with the scope `admin`."""

from __future__ import annotations

from starlette.routing import BaseRoute

from pictura.doors.house import House


class Admin:
    def __init__(self, house: House) -> None:
        self._house = house

    def routes(self) -> list[BaseRoute]:
        return []
