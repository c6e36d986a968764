"""What the sandbox's marks come to with every one of Tencent's services, whatever its codes are."""

from __future__ import annotations

from pictura.core.errors import Failed, Lost, Malformed, PicturaError, Refused, Rejected, Throttled
from pictura.infra.http import Timeouts
from pictura.providers.base import Ask, Channel, Provider
from tests.providers.conftest import fault_of

#: A mark, the error that comes of it, and what that says.
Trouble = tuple[str, type[PicturaError], dict[str, object]]


def troubles(*, refuses: str, by: str, refuses_late: str, breaks: str, fails: dict[str, object]) -> list[Trouble]:
    """`refuses`, `refuses_late` and `breaks`: the service's own codes; `fails`: what a task that fails says."""
    return [
        ("[refuse]", Refused, {"reason": refuses, "by": by}),
        ("[refuse late]", Refused, {"reason": refuses_late}),
        ("[fault:401]", Rejected, {"config": True}),
        ("[fault:402]", Rejected, {"config": True}),
        ("[fault:429]", Throttled, {"retry_after_s": 2}),
        ("[fault:500]", Failed, {"upstream_code": breaks}),
        ("[fault:502page]", Lost, {}),
        ("[fault:reset]", Lost, {}),
        ("[fault:stall]", Lost, {}),
        ("[fault:garbage]", Malformed, {}),
        ("[fault:empty]", Malformed, {}),
        ("[fault:failed]", Failed, fails),
    ]


async def check_trouble(trouble: Trouble, provider: Provider, asked: Ask, via: Channel) -> None:
    mark, kind, facts = trouble
    via.timeouts = Timeouts(read_s=0.5 if mark == "[fault:stall]" else 30)
    found = await fault_of(provider, asked, via)
    assert type(found) is kind
    assert {name: getattr(found, name) for name in facts} == facts
