"""What is measured, and how: one class for each kind of measurement, each yielding one sample a target and round."""

import json
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, TypedDict

from materials import MULTIPART, BenchError, Tools
from servers import Program, Server, free_port, stop

DIRECT = "direct"
GENERATIONS = "/v1/images/generations"
EDITS = "/v1/images/edits"
MB_PICTURE = 1_370_000
"""No answer that holds the 1.4 MB picture is shorter, bytes."""
SLOW_S = 5.0
"""How long the upstream takes for the model `slow5-…`."""
PROBE_PER_SECOND = 50


class Load(TypedDict):
    """What the load generator prints."""

    ok: int
    non2xx: int
    err: int
    short: int
    long: int
    seconds: float
    rps: float
    mb_per_s: float
    p50_ms: float
    p99_ms: float
    max_ms: float
    first_bad: str


@dataclass(frozen=True)
class Sample:
    """One target's figures in one round of a phase; `bad` counts requests that failed or had the wrong size."""

    phase: str
    target: str
    round: int
    figures: dict[str, float]
    bad: int = 0
    first_bad: str = ""


@dataclass(frozen=True)
class Bench:
    """The place of the measurement: programs, files and cores."""

    tools: Tools
    upstream: Server
    programs: dict[str, Program]
    requests: Path
    work: Path
    server_core: int
    load_core: int
    pace: float = 1.0
    """Seconds of load are multiplied by this."""
    crowd: int = 1000

    @contextmanager
    def running(self, targets: Sequence[str]) -> Iterator[dict[str, Server]]:
        """Fresh servers for the targets, ready to answer, and stopped at the end; `direct` is the upstream itself."""
        with ExitStack() as stack:
            servers = {target: stack.enter_context(self.server(target)) for target in targets if target != DIRECT}
            for server in servers.values():
                server.wait_until(server.healthy)
            yield {target: servers.get(target, self.upstream) for target in targets}

    def server(self, target: str) -> Server:
        """A fresh one, in a folder that no earlier one had."""
        port = free_port()
        return Server(self.programs[target], self.work / f"{target}-{port}", self.server_core, port)

    def load_command(self, server: Server, body: str, path: str = GENERATIONS, **options: str | float) -> list[str]:
        """The command line of a load generator against a server; `at_least=1` becomes `--at-least 1`."""
        command = ["taskset", "-c", str(self.load_core), str(self.tools.load), "--port", str(server.port)]
        command += ["--path", path, "--body", str(self.requests / body)]
        for name, value in options.items():
            command += [f"--{name.replace('_', '-')}", str(value)]
        for header in server.program.headers:
            command += ["--header", header]
        return command

    def upstream_requests(self) -> int:
        """How many requests the upstream has seen."""
        return int(json.loads(self.upstream.get("/stats") or b'{"requests": 0}')["requests"])


class Phase(Protocol):
    """A kind of measurement."""

    @property
    def name(self) -> str: ...

    def takes(self, target: str) -> bool:
        """Whether the target can do it."""

    def samples(self, bench: Bench, targets: Sequence[str], rounds: int) -> Iterator[Sample]:
        """Measure every target in every round; `targets` holds `direct` first, where it takes part."""


@dataclass(frozen=True)
class Steady:
    """A closed loop for some seconds; the targets take turns within a round."""

    name: str
    body: str
    connections: int
    seconds: float
    path: str = GENERATIONS
    content_type: str = "application/json"
    think_ms: float = 0
    at_least: int = 0
    at_most: int = 1 << 40
    only: tuple[str, ...] = ()

    def takes(self, target: str) -> bool:
        return not self.only or target in self.only

    def samples(self, bench: Bench, targets: Sequence[str], rounds: int) -> Iterator[Sample]:
        with bench.running(targets) as servers:
            for server in servers.values():
                self._drive(bench, server, count=2 * self.connections)
            for turn in range(rounds):
                yield from self._round(bench, servers, turn)

    def _round(self, bench: Bench, servers: dict[str, Server], turn: int) -> Iterator[Sample]:
        direct_ms = 0.0
        for target, server in servers.items():
            sample = self._sample(bench, target, server, turn)
            if target == DIRECT:
                direct_ms = sample.figures["p50_ms"]
            sample.figures["added_p50_ms"] = sample.figures["p50_ms"] - direct_ms
            yield sample

    def _sample(self, bench: Bench, target: str, server: Server, turn: int) -> Sample:
        cpu, asked = server.cpu_seconds(), bench.upstream_requests()
        load = self._drive(bench, server, seconds=self.seconds * bench.pace)
        figures = {
            "rps": load["rps"],
            "mb_per_s": load["mb_per_s"],
            "p50_ms": load["p50_ms"],
            "p99_ms": load["p99_ms"],
            "resident_mb": server.resident_mb(),
        }
        if load["ok"]:
            figures["cpu_ms"] = (server.cpu_seconds() - cpu) * 1000 / load["ok"]
            figures["upstream_requests"] = (bench.upstream_requests() - asked) / load["ok"]
        return Sample(self.name, target, turn, figures, bad_requests(load), load["first_bad"])

    def _drive(self, bench: Bench, server: Server, **length: float) -> Load:
        command = bench.load_command(
            server,
            self.body,
            self.path,
            type=self.content_type,
            connections=self.connections,
            think_ms=self.think_ms,
            at_least=self.at_least,
            at_most=self.at_most,
            **length,
        )
        return read_load(subprocess.run(command, capture_output=True, text=True, check=False).stdout)


@dataclass(frozen=True)
class Crowd:
    """Many requests at once; the upstream answers all of them 5 s later, at the same instant, with 1.4 MB each."""

    name: str = "crowd"

    def takes(self, target: str) -> bool:
        return True

    def samples(self, bench: Bench, targets: Sequence[str], rounds: int) -> Iterator[Sample]:
        for turn in range(rounds):
            for target in targets:
                with bench.running([target]) as servers:
                    yield self._sample(bench, target, servers[target], turn)

    def _sample(self, bench: Bench, target: str, server: Server, turn: int) -> Sample:
        warm_up(bench, server)
        idle, cpu = server.resident_mb(), server.cpu_seconds()
        server.forget_peak()
        with started(crowd_command(bench, server)) as crowd:
            load = read_load(crowd.communicate()[0])
        figures = {
            "drain_s": load["max_ms"] / 1000 - SLOW_S,
            "peak_above_idle_mb": server.peak_mb() - idle,
            "after_above_idle_mb": server.resident_mb() - idle,
            "cpu_ms": (server.cpu_seconds() - cpu) * 1000 / bench.crowd,
        }
        return Sample(self.name, target, turn, figures, bad_requests(load), load["first_bad"])


@dataclass(frozen=True)
class Probe:
    """The same crowd, while small requests come at a fixed rate from the instant its answers begin to flow.

    Apart from `Crowd`, because the small requests are work too and would lengthen the drain of a slow target.
    """

    name: str = "probe"

    def takes(self, target: str) -> bool:
        return True

    def samples(self, bench: Bench, targets: Sequence[str], rounds: int) -> Iterator[Sample]:
        for turn in range(rounds):
            for target in targets:
                with bench.running([target]) as servers:
                    yield self._sample(bench, target, servers[target], turn)

    def _sample(self, bench: Bench, target: str, server: Server, turn: int) -> Sample:
        warm_up(bench, server)
        small_requests = bench.load_command(server, "url", connections=500, seconds=600, rate=PROBE_PER_SECOND)
        with started(crowd_command(bench, server)) as crowd:
            time.sleep(SLOW_S)
            with started(small_requests) as probe:
                drained = read_load(crowd.communicate()[0])
                probe.terminate()
                small = read_load(probe.communicate()[0])
        figures = {"p50_ms": small["p50_ms"], "p99_ms": small["p99_ms"], "probes": small["ok"]}
        bad = bad_requests(small) + bad_requests(drained)
        return Sample(self.name, target, turn, figures, bad, small["first_bad"] or drained["first_bad"])


@dataclass(frozen=True)
class Cold:
    """From the start of the process on an empty folder to its first good health check, and to a first picture."""

    name: str = "cold"

    def takes(self, target: str) -> bool:
        return target != DIRECT

    def samples(self, bench: Bench, targets: Sequence[str], rounds: int) -> Iterator[Sample]:
        for turn in range(rounds):
            for target in targets:
                yield self._sample(bench, target, turn)

    def _sample(self, bench: Bench, target: str, turn: int) -> Sample:
        body = (bench.requests / "b64-1m").read_bytes()
        with bench.server(target) as server:
            health = server.wait_until(server.healthy)
            picture = server.wait_until(lambda: server.post(GENERATIONS, body) is not None)
            time.sleep(1)
            idle = server.resident_mb()
        return Sample(self.name, target, turn, {"health_s": health, "picture_s": picture, "idle_mb": idle})


PHASES: tuple[Phase, ...] = (
    Cold(),
    Steady("latency", "url", connections=1, seconds=1.5, think_ms=4),
    Steady("small", "url", connections=32, seconds=2),
    Steady("small-hosted", "url-hosted", connections=32, seconds=2, only=("pictura",)),
    Steady("b64-1m", "b64-1m", connections=8, seconds=2.5, at_least=MB_PICTURE),
    Steady("b64-8m", "b64-8m", connections=4, seconds=3, at_least=7_900_000),
    Steady("edits", "edit", connections=4, seconds=2.5, path=EDITS, content_type=MULTIPART),
    Steady("to-url-1m", "b64-1m-to-url", connections=8, seconds=2.5, at_most=10_000, only=("pictura",)),
    Steady("to-url-8m", "b64-8m-to-url", connections=4, seconds=3, at_most=10_000, only=("pictura",)),
    Steady(
        "webp",
        "b64-1m",
        connections=8,
        seconds=2.5,
        path="/imagerouter/v1/openai/images/generations",
        at_most=10_000,
        only=("pictura",),
    ),
    Crowd(),
    Probe(),
)


def warm_up(bench: Bench, server: Server) -> None:
    """A few large requests and a moment's rest, so that what is idle afterwards has imported everything."""
    subprocess.run(bench.load_command(server, "b64-1m", connections=1, count=3), capture_output=True, check=False)
    time.sleep(0.5)


def crowd_command(bench: Bench, server: Server) -> list[str]:
    """The load of `Crowd`: each connection asks once."""
    size = bench.crowd
    return bench.load_command(server, "slow5-b64-1m", connections=size, count=size, at_least=MB_PICTURE)


@contextmanager
def started(command: Sequence[str]) -> Iterator[subprocess.Popen[bytes]]:
    """A load generator in the background, stopped at the end whatever happens."""
    process = subprocess.Popen(command, stdout=subprocess.PIPE, start_new_session=True)
    try:
        yield process
    finally:
        stop(process)
        if process.stdout:
            process.stdout.close()


def read_load(text: str | bytes) -> Load:
    """Parse what the load generator printed."""
    try:
        load: Load = json.loads(text)
    except ValueError as error:
        raise BenchError(f"the load generator said nothing that can be read: {text!r}") from error
    return load


def bad_requests(load: Load) -> int:
    """How many requests did not bring what they should have."""
    return load["non2xx"] + load["err"] + load["short"] + load["long"]
