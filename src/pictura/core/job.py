"""The states of a job and the ways between them.

    queued → submitting → waiting → delivering → succeeded
                    └──────────┴─────────┴→ failed · cancelled · expired · uncertain

`uncertain`: sent, possibly billed, no answer; an operator (or a late answer) decides. Terminal states hold no money.
A paid picture whose bytes turn up late may still turn `uncertain` or `failed` into `succeeded`, once.
"""

from __future__ import annotations

from enum import StrEnum


class JobState(StrEnum):
    QUEUED = "queued"
    SUBMITTING = "submitting"
    WAITING = "waiting"
    DELIVERING = "delivering"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"
    EXPIRED = "expired"
    UNCERTAIN = "uncertain"

    @property
    def terminal(self) -> bool:
        return self in _TERMINAL


_TERMINAL = frozenset({JobState.SUCCEEDED, JobState.FAILED, JobState.CANCELLED, JobState.EXPIRED})

_ENDS = frozenset({JobState.SUCCEEDED, JobState.FAILED, JobState.CANCELLED, JobState.EXPIRED, JobState.UNCERTAIN})

#: From a state, the states it may turn into.
TRANSITIONS: dict[JobState, frozenset[JobState]] = {
    JobState.QUEUED: frozenset({JobState.SUBMITTING}) | _ENDS,
    JobState.SUBMITTING: frozenset({JobState.WAITING, JobState.DELIVERING}) | _ENDS,
    JobState.WAITING: frozenset({JobState.SUBMITTING, JobState.DELIVERING}) | _ENDS,
    JobState.DELIVERING: _ENDS,
    JobState.UNCERTAIN: frozenset({JobState.QUEUED, JobState.SUCCEEDED, JobState.FAILED}),
    JobState.FAILED: frozenset({JobState.SUCCEEDED}),
    JobState.SUCCEEDED: frozenset(),
    JobState.CANCELLED: frozenset(),
    JobState.EXPIRED: frozenset(),
}


def may(old: JobState, new: JobState) -> bool:
    return new in TRANSITIONS[old]
