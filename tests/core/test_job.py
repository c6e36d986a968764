"""The states of a job, and the ways between them."""

from __future__ import annotations

from pictura.core.job import TRANSITIONS, JobState, may


def reachable(start: JobState) -> set[JobState]:
    found, look = {start}, [start]
    while look:
        for state in TRANSITIONS[look.pop()] - found:
            found.add(state)
            look.append(state)
    return found


def test_every_state_has_its_ways() -> None:
    assert set(TRANSITIONS) == set(JobState)


def test_every_state_can_be_reached() -> None:
    assert reachable(JobState.QUEUED) == set(JobState)


def test_a_job_can_always_still_succeed_or_has_ended_for_good() -> None:
    final = {JobState.SUCCEEDED, JobState.CANCELLED, JobState.EXPIRED}
    for state in JobState:
        assert (JobState.SUCCEEDED in reachable(state)) == (state not in final - {JobState.SUCCEEDED})


def test_what_has_ended_stays_so_but_for_a_picture_that_came_late() -> None:
    ways_back = {(old, new) for old in JobState if old.terminal for new in TRANSITIONS[old]}
    assert ways_back == {(JobState.FAILED, JobState.SUCCEEDED)}


def test_an_uncertain_job_waits_for_a_decision() -> None:
    assert not JobState.UNCERTAIN.terminal
    assert may(JobState.UNCERTAIN, JobState.SUCCEEDED)
    assert may(JobState.UNCERTAIN, JobState.FAILED)
    assert not may(JobState.UNCERTAIN, JobState.WAITING)


def test_success_is_for_good() -> None:
    assert not any(may(JobState.SUCCEEDED, state) for state in JobState)
