"""A container engine of our own, the base image made from Debian packages, and the project's image built with it.

No image registry is needed: ``mmdebstrap`` makes the base, and the wheel of PyTorch comes from the folders that pip is
told to look in (PIP_FIND_LINKS) when there are any.
"""

from __future__ import annotations

import os
import re
import shutil
import ssl
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
BASE = "python:3.11-slim-bookworm"
BASE_PACKAGES = "python3,python3-pip,python3-venv,ca-certificates"
MARK = "5f0c1a7e-the-host-was-here"  # stands in both secrets and must be nowhere in the image
DAEMON = ("--bridge=none", "--iptables=false", "--ip6tables=false")


@dataclass(frozen=True)
class Engine:
    """A docker daemon on a socket of its own."""

    socket: str

    def __call__(self, *words: str, check: bool = True, **keywords: object) -> subprocess.CompletedProcess[str]:
        command = ["/usr/bin/docker", "--host", self.socket, *words]
        environment = os.environ | {"DOCKER_BUILDKIT": "1"}
        done = subprocess.run(command, env=environment, capture_output=True, text=True, **keywords)
        assert not check or done.returncode == 0, done.stdout[-4000:] + done.stderr[-4000:]
        return done


@pytest.fixture(scope="session")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    folder = tmp_path_factory.mktemp("engine")
    socket = f"unix://{folder}/docker.sock"
    places = [f"--data-root={folder}/data", f"--exec-root={folder}/exec", f"--pidfile={folder}/dockerd.pid"]
    with (folder / "dockerd.log").open("w") as log:
        daemon = subprocess.Popen(["dockerd", "--host", socket, *places, *DAEMON], stdout=log, stderr=log)
    docker = Engine(socket)
    try:
        for _ in range(60):
            if docker("info", check=False).returncode == 0:
                break
            time.sleep(0.5)
        else:
            pytest.skip(f"dockerd does not start here: {(folder / 'dockerd.log').read_text()[-500:]}")
        yield docker
    finally:
        daemon.terminate()
        daemon.wait(timeout=60)


@pytest.fixture(scope="session")
def image(engine: Engine, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The CPU variant of the project's image, built from what git would give a stranger."""
    _make_base(engine)
    context = _context(tmp_path_factory.mktemp("context"))
    conf = context.parent / "pip.conf"
    conf.write_text(f"# {MARK}\n[global]\ncert = /run/host-ca.crt\nfind-links = /src/wheels\n")
    authorities = context.parent / "authorities.crt"
    authorities.write_text(Path(ssl.get_default_verify_paths().cafile or conf).read_text() + f"\n# {MARK}\n")
    secrets = ["--secret", f"id=pipconf,src={conf}", "--secret", f"id=ca,src={authorities}"]
    engine("build", "--network", "host", *secrets, "-t", "haca3", str(context))
    return "haca3"


def _make_base(engine: Engine) -> None:
    mirror = re.search(r"https?://\S+/debian(?=\s|$)", _apt_sources(), flags=re.MULTILINE)
    assert mirror, "no Debian mirror among the apt sources"
    command = ["mmdebstrap", "--variant=minbase", f"--include={BASE_PACKAGES}", "bookworm", "-", mirror[0]]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as maker:
        engine("import", "-", BASE, stdin=maker.stdout)


def _apt_sources() -> str:
    folder = Path("/etc/apt")
    files = [folder / "sources.list", *folder.glob("sources.list.d/*")]
    return "\n".join(file.read_text() for file in files if file.is_file())


def _context(folder: Path) -> Path:
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True).stdout.decode()
    for name in filter(None, listed.split("\0")):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        if (ROOT / name).exists():
            shutil.copy(ROOT / name, folder / name)
    (folder / "wheels").mkdir()
    for place in os.environ.get("PIP_FIND_LINKS", "").split():
        for wheel in Path(place).glob("torch-*cp311*.whl"):
            shutil.copy(wheel, folder / "wheels")
    return folder
