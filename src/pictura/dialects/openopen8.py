"""OpenOpen8's API, https://openopen8.ai: DALL·E's two endpoints, and the accounts of the new-api family.

Fields follow its page (2026-02, documented), the answer to too many requests its guide (documented), everything else
new-api (read in source). DALL·E's own rules (sizes, lengths, squares) stand on the models' cards.
"""

from __future__ import annotations

from typing import ClassVar

import msgspec

from pictura.dialects.base import ErrorRow, Habits, Route
from pictura.dialects.new_api import ERRORS, WORDS, NewApi
from pictura.dialects.union import IDLE

_TOO_MANY = ErrorRow(429, "rate_limit_error", 429)


def _owned(route: Route) -> Route:
    """Paths of accounts and prices are the family's alone, so they name it, whatever the Host."""
    own = route.path.startswith(("/v1/dashboard/", "/dashboard/", "/api/"))
    return msgspec.structs.replace(route, own=own)


class OpenOpen8(NewApi):
    """Generations and edits as OpenAI had them; URLs."""

    name = "openopen8"
    hosts = ("openopen8.ai", "www.openopen8.ai", "api.openopen8.ai")
    errors: ClassVar = {**ERRORS, "rate_limited": _TOO_MANY, "upstream_throttled": _TOO_MANY}
    routes = tuple(_owned(route) for route in NewApi.routes)
    habits = Habits(
        delivery="url",
        words=WORDS,
        # The page promises both "where the upstream supports it": elsewhere they are left out, and that is told.
        adjustable=IDLE | {"background", "watermark"},
        no_model="model is required, e.g. gpt-image-2; GET /v1/models lists what there is",
    )
