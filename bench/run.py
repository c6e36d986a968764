"""Pictura beside the gateways people would otherwise use, measured in one run on one machine.

    python bench/run.py [--quick] [--plot]

Everything else is in README.md beside this file: what is measured, how, and how to read it.
"""

import argparse
import json
import os
import platform
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from types import FrameType
from typing import TextIO, TypedDict

from materials import HERE, BenchError, compile_tools, write_requests, write_upstream
from phases import DIRECT, PHASES, Bench, Phase, Sample
from report import ABSOLUTE, Goal, Row, Samples, chart, figures_table, verdicts, verdicts_table
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from servers import Program, Server, free_port, litellm, mock, nginx, pictura

LITELLM_RELEASE = "1.106.2"
LITELLM, NGINX, IMAGEROUTER = "litellm", "nginx", "ImageRouter (stored)"
FILES_NEEDED = 8192
CROWD, QUICK_CROWD = 1000, 400
BUSY = 0.1
"""Other work above this part of the machine's time is worth a warning."""
DISK_NEEDED_GB = 15
"""Pictura keeps every picture it makes; the longest phase makes this much."""

ROWS = (
    Row("cold start to /health", "cold", "health_s", "s", (Goal(LITELLM, 0.25),)),
    Row("cold start to a first picture", "cold", "picture_s", "s"),
    Row("idle memory", "cold", "idle_mb", "MB", (Goal(LITELLM, 0.4),)),
    Row("added p50, tiny answer", "latency", "added_p50_ms", "ms", (Goal(LITELLM, 0.15),)),
    Row("p99, tiny answer", "latency", "p99_ms", "ms"),
    Row("tiny answers, 32 at once", "small", "rps", "requests/s", (Goal(LITELLM, 15, at_least=True),)),
    Row("CPU of a tiny answer", "small", "cpu_ms", "ms"),
    Row("the same, picture fetched and hosted", "small-hosted", "rps", "requests/s"),
    Row("CPU of a hosted answer", "small-hosted", "cpu_ms", "ms"),
    Row("CPU of a 1.4 MB picture", "b64-1m", "cpu_ms", "ms", (Goal(LITELLM, 0.2), Goal(NGINX, 2.5))),
    Row("1.4 MB pictures, 8 at once", "b64-1m", "mb_per_s", "MB/s"),
    Row("upstream requests for one picture", "b64-1m", "upstream_requests", "count"),
    Row("CPU of an 8 MB picture", "b64-8m", "cpu_ms", "ms", (Goal(LITELLM, 0.15),)),
    Row("8 MB pictures, 4 at once", "b64-8m", "mb_per_s", "MB/s"),
    Row("CPU of an edit, 4 MB up", "edits", "cpu_ms", "ms", (Goal(LITELLM, 0.25),)),
    Row("edits, 4 at once", "edits", "rps", "requests/s"),
    # ImageRouter's own server at its commit 9615cf3, database and object store replaced by stubs, 2026-11-20 on two
    # cores of an AMD EPYC (Zen 5): 126 to 147 requests/s at 1.4 MB, 26.7 at 8 MB.
    Row("b64 to url, 1.4 MB", "to-url-1m", "rps", "requests/s", (Goal(IMAGEROUTER, 3, at_least=True, stored=147),)),
    Row("CPU of b64 to url, 1.4 MB", "to-url-1m", "cpu_ms", "ms"),
    Row("b64 to url, 8 MB", "to-url-8m", "rps", "requests/s", (Goal(IMAGEROUTER, 3, at_least=True, stored=26.7),)),
    Row("CPU of b64 to url, 8 MB", "to-url-8m", "cpu_ms", "ms"),
    Row("the same with ImageRouter's webp default", "webp", "rps", "requests/s"),
    Row("CPU of it, transcoding 1024×1024", "webp", "cpu_ms", "ms"),
    Row("crowd: drain", "crowd", "drain_s", "s", (Goal(LITELLM, 0.2),)),
    Row(
        "crowd: peak memory above idle",
        "crowd",
        "peak_above_idle_mb",
        "MB",
        (Goal(LITELLM, 0.25), Goal(ABSOLUTE, 400)),
    ),
    Row("crowd: memory above idle afterwards", "crowd", "after_above_idle_mb", "MB"),
    Row("a small request's p50 while the crowd drains", "probe", "p50_ms", "ms"),
    Row("a small request's p99 while the crowd drains", "probe", "p99_ms", "ms"),
)
"""Every figure that is shown, with the targets it is held against."""


class About(TypedDict):
    """What a reader must know of a run: the first line of its records."""

    run: str
    machine: str
    versions: dict[str, str]
    quick: bool
    crowd: int
    other_work: float


console = Console(width=None if sys.stdout.isatty() else 120)


def read_arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description="Measure Pictura beside its peers.")
    parser.add_argument("--quick", action="store_true", help="one short round; under three minutes, coarse figures")
    parser.add_argument("--rounds", type=int, default=3, help="rounds of every phase (3)")
    parser.add_argument("--plot", action="store_true", help="write bench/results/ratios.svg")
    parser.add_argument("--report-only", action="store_true", help="measure nothing, show the last run again")
    parser.add_argument("--phases", nargs="+", choices=[phase.name for phase in PHASES], help="only these phases")
    parser.add_argument("--skip", nargs="+", default=[], metavar="TARGET", help="leave out pictura, nginx or litellm")
    parser.add_argument("--subject", default="pictura", help="whose figures are held against the targets (pictura)")
    parser.add_argument("--pictura", type=Path, metavar="PATH", help="default: .venv/bin/pictura, the PATH")
    parser.add_argument("--litellm", type=Path, metavar="PATH", help="default: $PEERS/litellm/bin/litellm, the PATH")
    parser.add_argument("--nginx", type=Path, metavar="PATH", help="default: $PEERS/nginx, the PATH, /usr/sbin/nginx")
    parser.add_argument("--install-litellm", action="store_true", help="first install LiteLLM into bench/build/peers")
    parser.add_argument("--build", default=HERE / "build", type=Path, help="for programs and data (bench/build)")
    parser.add_argument("--results", default=HERE / "results", type=Path, help="for what comes out (bench/results)")
    return parser.parse_args()


# ---- what there is to measure ----


def install_litellm(peers: Path) -> None:
    """Install LiteLLM's proxy into a virtual environment below `peers`."""
    console.print(f"Installing LiteLLM {LITELLM_RELEASE} into {peers / 'litellm'} …", highlight=False)
    subprocess.run([sys.executable, "-m", "venv", peers / "litellm"], check=True)
    pip = peers / "litellm/bin/pip"
    subprocess.run([pip, "install", "--quiet", f"litellm[proxy]=={LITELLM_RELEASE}"], check=True)


def find(named: Path | None, *places: Path | str | None) -> str | None:
    """The first of the places that is a program; a place that was named must be one."""
    if named is not None:
        places = (named,)
    for place in places:
        found = shutil.which(place) if place else None
        if found:
            return str(Path(found).absolute())
    if named is not None:
        raise BenchError(f"{named} is not a program. Give the path of the executable, or leave the option out.")
    return None


def find_programs(arguments: argparse.Namespace, upstream_port: int) -> dict[str, Program]:
    """Every gateway that is installed here and not left out."""
    peers = Path(os.environ.get("PEERS", arguments.build / "peers"))
    places = {
        "nginx": find(arguments.nginx, peers / "nginx", "nginx", "/usr/sbin/nginx"),
        "litellm": find(arguments.litellm, peers / "litellm/bin/litellm", "litellm"),
        "pictura": find(arguments.pictura, HERE.parent / ".venv/bin/pictura", "pictura"),
    }
    makers = {"nginx": nginx, "litellm": litellm, "pictura": pictura}
    programs = {}
    for name, place in places.items():
        if name in arguments.skip:
            continue
        if place is None:
            console.print(f"[yellow]{name} is not here; its column stays empty. bench/README.md says how to get it.")
        else:
            programs[name] = makers[name](place, upstream_port)
    return programs


def two_cores() -> tuple[int, int]:
    """The core for the server under test and the one for upstream and load; this process moves to the second."""
    if not hasattr(os, "sched_getaffinity") or shutil.which("taskset") is None:
        raise BenchError("the measurement needs Linux and taskset (Debian: apt-get install util-linux).")
    cores = sorted(os.sched_getaffinity(0))
    if len(cores) < 2:
        raise BenchError("the measurement needs two cores: one for the gateway, one for the load and the upstream.")
    os.sched_setaffinity(0, {cores[1]})
    return cores[0], cores[1]


def allow_many_files() -> None:
    """Raise the limit on open files for this process and what it starts."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < FILES_NEEDED:
        raise BenchError(
            f"1000 requests in flight need {FILES_NEEDED} open files; the hard limit (ulimit -Hn) is {hard}."
        )
    resource.setrlimit(resource.RLIMIT_NOFILE, (FILES_NEEDED, hard))


def require_disk(folder: Path) -> None:
    """Refuse to start where the pictures would fill the disk."""
    free = shutil.disk_usage(folder).free / 1e9
    if free < DISK_NEEDED_GB:
        raise BenchError(
            f"{folder} has {free:.0f} GB free, {DISK_NEEDED_GB} are needed. Give another place with --build."
        )


@contextmanager
def prepared(arguments: argparse.Namespace) -> Iterator[Bench]:
    """Compile, write the data, start the upstream; everything is stopped and removed at the end."""
    server_core, load_core = two_cores()
    allow_many_files()
    tools = compile_tools(arguments.build)
    require_disk(arguments.build)
    with tempfile.TemporaryDirectory(prefix="work-", dir=arguments.build) as name:
        work, port = Path(name), free_port()
        programs = find_programs(arguments, port)
        write_upstream(work / "upstream", port)
        write_requests(work / "requests")
        with Server(mock(tools.mock, work / "upstream"), work / "mock", load_core, port) as upstream:
            upstream.wait_until(upstream.healthy)
            pace, crowd = (0.4, QUICK_CROWD) if arguments.quick else (1.0, CROWD)
            yield Bench(tools, upstream, programs, work / "requests", work, server_core, load_core, pace, crowd)


# ---- measuring ----


def planned(bench: Bench, wanted: Sequence[str] | None) -> list[tuple[Phase, list[str]]]:
    """The phases that can be measured, each with its targets."""
    there = [DIRECT, *bench.programs]
    plan = []
    for phase in PHASES:
        targets = [target for target in there if phase.takes(target)]
        if targets and (not wanted or phase.name in wanted):
            plan.append((phase, targets))
    return plan


def busy_part(seconds: float = 1.0) -> float:
    """The part of the machine's time that other work takes now, 0 to 1."""

    def times() -> tuple[int, int]:
        ticks = [int(value) for value in Path("/proc/stat").read_text().splitlines()[0].split()[1:9]]
        return sum(ticks), ticks[3] + ticks[4]

    total, idle = times()
    time.sleep(seconds)
    total_after, idle_after = times()
    return 1 - (idle_after - idle) / max(1, total_after - total)


def describe(bench: Bench, run: str, quick: bool) -> About:
    """Describe the run that begins now."""
    cpu = next((line for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name")), "")
    return {
        "run": run,
        "machine": f"{cpu.partition(':')[2].strip()}, Linux {platform.release()}",
        "versions": {name: program.version for name, program in bench.programs.items()},
        "quick": quick,
        "crowd": bench.crowd,
        "other_work": round(busy_part(), 3),
    }


def measure(bench: Bench, arguments: argparse.Namespace, out: TextIO) -> None:
    """Run the phases, writing each sample as it comes."""
    run = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    rounds = 1 if arguments.quick else arguments.rounds
    plan = planned(bench, arguments.phases)
    print(json.dumps(describe(bench, run, arguments.quick)), file=out, flush=True)
    columns = (TextColumn("{task.description:<28}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console) as progress:
        task = progress.add_task("", total=rounds * sum(len(targets) for _, targets in plan))
        for phase, targets in plan:
            progress.update(task, description=f"{phase.name}: starting")
            for sample in phase.samples(bench, targets, rounds):
                print(json.dumps({"run": run, **asdict(sample)}), file=out, flush=True)
                progress.update(task, advance=1, description=f"{phase.name}: {sample.target}")


# ---- reporting ----


def last_run(results: Path) -> tuple[About, Samples]:
    """The description and the samples of the newest run in results.jsonl."""
    if not results.exists():
        raise BenchError(f"{results} is not there yet: nothing has been measured.")
    records = [json.loads(line) for line in results.read_text().splitlines()]
    runs = [record for record in records if "machine" in record]
    newest: About = runs[-1]
    mine = [record for record in records if record["run"] == newest["run"] and "phase" in record]
    return newest, Samples(Sample(**{key: value for key, value in r.items() if key != "run"}) for r in mine)


def introduce(about: About) -> None:
    """Say which run this is."""
    mode = "quick, coarse" if about["quick"] else "full"
    versions = ", ".join(f"{name} {version}".strip() for name, version in about["versions"].items())
    console.print(f"\nRun of {about['run']} on {about['machine']}", highlight=False)
    console.print(f"{mode}, a crowd of {about['crowd']}; {versions}\n", highlight=False)
    if about["other_work"] > BUSY:
        console.print(
            f"[yellow]Other work took {about['other_work']:.0%} of the machine at the start: figures are off.\n"
        )


def report(arguments: argparse.Namespace) -> None:
    """Show the newest run, and draw it where asked."""
    about, samples = last_run(arguments.results / "results.jsonl")
    found = verdicts(samples, ROWS, arguments.subject)
    introduce(about)
    console.print(figures_table(samples, ROWS), "", verdicts_table(found, arguments.subject), sep="\n")
    for (phase, target), what in samples.first_bad().items():
        console.print(f"[red]{phase}, {target}, the first bad request:[/red] {escape(what)}", highlight=False)
    if arguments.plot:
        (arguments.results / "ratios.svg").write_text(chart(found, arguments.subject))
        console.print(f"Chart: {arguments.results / 'ratios.svg'}")


def take_signals(handler: Callable[[int, FrameType | None], None] | signal.Handlers) -> None:
    """Handle Ctrl-C and SIGTERM alike, also where a shell has set them to be ignored."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, handler)


def end_politely(number: int, frame: FrameType | None) -> None:
    """Unwind the stack, so that every server is stopped; a second signal must not interrupt that."""
    take_signals(signal.SIG_IGN)
    raise KeyboardInterrupt


def main() -> int:
    """Measure and report; 130 when interrupted, 1 when the measurement could not be made."""
    arguments = read_arguments()
    take_signals(end_politely)
    try:
        if arguments.install_litellm:
            install_litellm(arguments.build / "peers")
        if not arguments.report_only:
            arguments.results.mkdir(parents=True, exist_ok=True)
            with prepared(arguments) as bench, (arguments.results / "results.jsonl").open("a") as out:
                measure(bench, arguments, out)
        report(arguments)
    except KeyboardInterrupt:
        console.print("Interrupted; every server has been stopped.")
        return 130
    except (BenchError, subprocess.CalledProcessError) as error:
        console.print(f"[red]{error}[/red]", highlight=False)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
