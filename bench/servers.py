"""The programs that are measured: how each is configured, started, asked whether it is ready, watched and stopped."""

import http.client
import json
import os
import secrets
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Self

from materials import BenchError

START_TIMEOUT_S = 120
STOP_TIMEOUT_S = 10
TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")
LITELLM_MODELS = ("url", "b64-1m", "b64-8m", "slow5-b64-1m")
LITELLM_ENVIRONMENT = {
    "LITELLM_LOCAL_MODEL_COST_MAP": "True",
    "LITELLM_LOG": "ERROR",
    "LITELLM_MODE": "PRODUCTION",
    "LITELLM_TELEMETRY": "False",
}


@dataclass(frozen=True)
class Program:
    """A server that can be started: `arrange(folder, port)` writes its configuration and returns its command line."""

    name: str
    arrange: Callable[[Path, int], Sequence[str]]
    health: str
    headers: tuple[str, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict)
    version: str = ""


def mock(binary: Path, upstream: Path) -> Program:
    """The upstream, which asked without a gateway in between is the target `direct`."""
    return Program("direct", lambda _, port: [str(binary), str(port), str(upstream)], "/stats")


def nginx(binary: str, upstream_port: int) -> Program:
    """nginx as a plain reverse proxy, tuned for large bodies: everything stays in memory."""

    def arrange(folder: Path, port: int) -> Sequence[str]:
        (folder / "nginx.conf").write_text(_nginx_conf(port, upstream_port))
        return [binary, "-p", str(folder), "-c", "nginx.conf"]

    shown = subprocess.run([binary, "-v"], capture_output=True, text=True, check=False).stderr
    return Program("nginx", arrange, "/", version=shown.strip().rpartition("/")[2])


def _nginx_conf(port: int, upstream_port: int) -> str:
    temporary = "".join(
        f"  {kind}_temp_path {kind};\n" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    return f"""
worker_processes 1;
daemon off;
pid nginx.pid;
error_log error.log warn;
events {{ worker_connections 8192; }}
http {{
  access_log off;
  client_max_body_size 64m;
  client_body_buffer_size 8m;
  keepalive_requests 1000000;
{temporary}
  upstream mock {{ server 127.0.0.1:{upstream_port}; keepalive 256; keepalive_requests 1000000; }}
  server {{
    listen 127.0.0.1:{port} backlog=4096;
    location / {{
      proxy_pass http://mock;
      proxy_http_version 1.1;
      proxy_set_header Connection "";
      proxy_read_timeout 120s;
      proxy_request_buffering off;
      proxy_buffer_size 256k;
      proxy_buffers 8 256k;
      proxy_busy_buffers_size 512k;
      proxy_max_temp_file_size 0;
    }}
  }}
}}
"""


def litellm(binary: str, upstream_port: int) -> Program:
    """LiteLLM's proxy with a master key and no database, one worker."""
    key = f"sk-{secrets.token_hex(32)}"

    def arrange(folder: Path, port: int) -> Sequence[str]:
        configuration = folder / "litellm.yaml"
        # JSON is YAML, and needs no library.
        configuration.write_text(json.dumps(_litellm_configuration(key, upstream_port)))
        command = [binary, "--config", str(configuration), "--host", "127.0.0.1", "--port", str(port)]
        return [*command, "--num_workers", "1", "--telemetry", "False"]

    return Program(
        "litellm",
        arrange,
        "/health/liveliness",
        headers=(f"Authorization: Bearer {key}",),
        environment=LITELLM_ENVIRONMENT,
        version=_installed_version(binary, "litellm"),
    )


def _litellm_configuration(key: str, upstream_port: int) -> dict[str, object]:
    base = {"api_base": f"http://127.0.0.1:{upstream_port}/v1", "api_key": "sk-mock"}
    models = [
        {
            "model_name": model,
            "litellm_params": {"model": f"openai/{model}", **base},
            "model_info": {"mode": "image_generation"},
        }
        for model in LITELLM_MODELS
    ]
    return {"model_list": models, "general_settings": {"master_key": key}}


def pictura(binary: str, upstream_port: int) -> Program:
    """Pictura as it is served: keys, holds, settles and durable job rows on, a new data folder at every start."""
    key = f"sk-pic-{secrets.token_hex(32)}"

    def arrange(folder: Path, port: int) -> Sequence[str]:
        configuration = folder / "bench.toml"
        configuration.write_text(_pictura_configuration(upstream_port))
        place = ["--host", "127.0.0.1", "--port", str(port)]
        return [binary, "serve", *place, "--data", str(folder / "data"), "--config", str(configuration)]

    return Program(
        "pictura",
        arrange,
        "/health",
        headers=(f"Authorization: Bearer {key}",),
        environment={"PICTURA_ADMIN_KEY": key, "PICTURA_FETCH_ALLOW": f"127.0.0.1:{upstream_port}"},
        version=_installed_version(binary, "pictura"),
    )


def _pictura_configuration(upstream_port: int) -> str:
    return "\n".join(
        f"""[[channel]]
name = "{name}"
provider = "openai"
api_key = "sk-mock"
base_url = "http://127.0.0.1:{upstream_port}/v1"
allow_private_network = true
models = {models}
results = "{results}"
"""
        for name, models, results in (
            ("mock", '["b64-1m", "b64-8m", "slow5-b64-1m"]', "host"),
            ("mock-relay", '["url"]', "relay"),
            ("mock-hosted", '{ "url-hosted" = "url" }', "host"),
        )
    )


def _installed_version(binary: str, distribution: str) -> str:
    question = f"import importlib.metadata as m; print(m.version({distribution!r}))"
    python = Path(binary).absolute().with_name("python")
    if not python.exists():
        return ""
    return subprocess.run([python, "-c", question], capture_output=True, text=True, check=False).stdout.strip()


def free_port() -> int:
    """A TCP port of the loopback interface that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _empty(folder: Path) -> None:
    """Give the disk back, but leave the names to whoever removes all of the work at the end: an ext4 without a journal
    looks at every file that was removed within minutes when it makes a new one, and would charge the next phase.
    """
    for place, _, names in os.walk(folder):
        for name in names:
            with suppress(OSError):
                os.truncate(Path(place, name), 0)


class Server:
    """A running program, pinned to one core, in a folder of its own, whose files are emptied when it has stopped."""

    def __init__(self, program: Program, folder: Path, core: int, port: int | None = None) -> None:
        self.program = program
        self.folder = folder
        self.port = port or free_port()
        self.core = core

    def __enter__(self) -> Self:
        self.folder.mkdir(parents=True)
        command = ["taskset", "-c", str(self.core), *self.program.arrange(self.folder, self.port)]
        self.started = time.monotonic()
        with (self.folder / "output.log").open("wb") as log:
            self.process = subprocess.Popen(
                command, cwd=self.folder, env=self._environment(), stdout=log, stderr=log, start_new_session=True
            )
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        stop(self.process)
        _empty(self.folder)

    def _environment(self) -> dict[str, str]:
        # Made from nothing: provider keys or proxies of the caller's shell must not reach what is measured.
        base = {
            "PATH": os.environ.get("PATH", os.defpath),
            "HOME": str(self.folder),
            "LANG": "C.UTF-8",
            "NO_PROXY": "*",
        }
        return base | dict(self.program.environment)

    def wait_until(self, answers: Callable[[], bool]) -> float:
        """Wait for `answers()` to be true; returns the seconds since the start."""
        while not answers():
            waited = time.monotonic() - self.started
            if self.process.poll() is not None or waited > START_TIMEOUT_S:
                raise BenchError(
                    f"{self.program.name} does not answer after {waited:.1f} s. Its output:\n{self._tail()}"
                )
            time.sleep(0.005)
        return time.monotonic() - self.started

    def healthy(self) -> bool:
        """Whether the health check answers 200."""
        return self.get(self.program.health) is not None

    def get(self, path: str) -> bytes | None:
        """The body of a GET that answered 200, else None."""
        return self._ask("GET", path, None, {})

    def post(self, path: str, body: bytes) -> bytes | None:
        """The body of a POST of JSON that answered 200, else None."""
        headers = dict(header.split(": ", 1) for header in self.program.headers)
        return self._ask("POST", path, body, headers | {"Content-Type": "application/json"})

    def _ask(self, method: str, path: str, body: bytes | None, headers: Mapping[str, str]) -> bytes | None:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        try:
            connection.request(method, path, body, dict(headers))
            answer = connection.getresponse()
            data = answer.read()
        except (OSError, http.client.HTTPException):
            return None
        finally:
            connection.close()
        return data if answer.status == 200 else None

    def _tail(self) -> str:
        return (self.folder / "output.log").read_text(errors="replace")[-2000:]

    def cpu_seconds(self) -> float:
        """Processor time of the whole process tree so far, dead children included."""
        return sum(_cpu_ticks(pid) for pid in process_tree(self.process.pid)) / TICKS_PER_SECOND

    def resident_mb(self) -> float:
        """Resident memory of the process tree, MiB; pages shared by two processes count twice."""
        return self._memory("VmRSS")

    def peak_mb(self) -> float:
        """The sum of each process's highest resident memory since `forget_peak`, MiB."""
        return self._memory("VmHWM")

    def forget_peak(self) -> None:
        """Let the peak start again from the present."""
        for pid in process_tree(self.process.pid):
            Path(f"/proc/{pid}/clear_refs").write_text("5")

    def _memory(self, key: str) -> float:
        return sum(_status_kb(pid, key) for pid in process_tree(self.process.pid)) / 1024


def stop(process: subprocess.Popen[bytes]) -> None:
    """End a process that was started in a session of its own, and its children: asked first, then killed."""
    for wish in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(process.pid, wish)
        except ProcessLookupError:
            break
        try:
            process.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            continue
    process.wait()


def process_tree(pid: int) -> Iterator[int]:
    """The process and its living descendants."""
    yield pid
    for children in Path(f"/proc/{pid}/task").glob("*/children"):
        try:
            direct = children.read_text().split()
        except OSError:
            continue
        for child in direct:
            yield from process_tree(int(child))


def _cpu_ticks(pid: int) -> int:
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0
    return sum(int(value) for value in fields[11:15])


def _status_kb(pid: int, key: str) -> int:
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return 0
    return sum(int(line.split()[1]) for line in lines if line.startswith(f"{key}:"))
