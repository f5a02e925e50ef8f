"""A docker engine for the tests: the one that runs already, or one of our own on a socket of its own."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

DEFAULT_SOCKET = "unix:///var/run/docker.sock"
NO_NETWORK_OF_ITS_OWN = ("--bridge=none", "--iptables=false", "--ip6tables=false")
SECONDS_TO_START = 60
HARD = ("--network", "none", "--read-only", "--tmpfs", "/tmp", "--user", "12345:12345")  # how the image must run
MEASURED: dict[str, str] = {}  # sizes and times, told at the end of the tests


@dataclass(frozen=True)
class Engine:
    """A docker daemon on a socket; call it with the words that follow ``docker``."""

    socket: str

    def __call__(self, *words: str, check: bool = True, **keywords: object) -> subprocess.CompletedProcess[str]:
        environment = os.environ | {"DOCKER_BUILDKIT": "1"}
        done = subprocess.run(self.command(*words), env=environment, capture_output=True, text=True, **keywords)
        assert not check or done.returncode == 0, done.stdout[-4000:] + done.stderr[-4000:]
        return done

    def command(self, *words: str) -> list[str]:
        return [client(), "--host", self.socket, *words]

    def answers(self) -> bool:
        return bool(client()) and self("info", check=False).returncode == 0


def client() -> str:
    """Debian's docker client knows BuildKit without a plugin; else whichever is on the PATH."""
    return "/usr/bin/docker" if Path("/usr/bin/docker").exists() else shutil.which("docker") or ""


def running() -> Engine | None:
    """The engine that DOCKER_HOST or the usual socket leads to."""
    engine = Engine(os.environ.get("DOCKER_HOST", DEFAULT_SOCKET))
    return engine if engine.answers() else None


@contextmanager
def started(folder: Path) -> Iterator[Engine]:
    """A daemon that keeps everything in ``folder`` and ends with the tests; needs root."""
    socket = f"unix://{folder}/docker.sock"
    places = [f"--data-root={folder}/data", f"--exec-root={folder}/exec", f"--pidfile={folder}/dockerd.pid"]
    with (folder / "dockerd.log").open("w") as log:
        command = ["dockerd", "--host", socket, *places, *NO_NETWORK_OF_ITS_OWN]
        daemon = subprocess.Popen(command, stdout=log, stderr=log)
    engine = Engine(socket)
    try:
        until = time.monotonic() + SECONDS_TO_START
        while not engine.answers():
            if daemon.poll() is not None or time.monotonic() > until:
                raise RuntimeError((folder / "dockerd.log").read_text()[-500:])
            time.sleep(0.5)
        yield engine
    finally:
        daemon.terminate()
        daemon.wait(timeout=60)
