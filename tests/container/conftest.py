"""The project's image, built with a real engine, and one demonstration session to run it on.

No image registry is needed: ``mmdebstrap`` makes the base, and the wheel of PyTorch comes from the folders that pip is
told to look in (PIP_FIND_LINKS) when there are any.
"""

from __future__ import annotations

import os
import shutil
import ssl
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from apptainer_engine import Apptainer, find_apptainer
from debian import BASE, make_base
from docker_engine import HARD, MEASURED, Engine, running, started
from host_traces import MARK

ROOT = Path(__file__).resolve().parents[2]


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if MEASURED:
        terminalreporter.section("sizes and times")
        for name, value in MEASURED.items():
            terminalreporter.line(f"{name}: {value}")


@pytest.fixture(scope="session")
def shelf() -> Iterator[Path]:
    """A folder for what is large, which every user may enter; it goes when the tests end."""
    with tempfile.TemporaryDirectory(prefix="haca3-container-", ignore_cleanup_errors=True) as folder:
        Path(folder).chmod(0o755)
        yield Path(folder)


@pytest.fixture(scope="session")
def engine(shelf: Path) -> Iterator[Engine]:
    if found := running():
        yield found
        return
    (shelf / "engine").mkdir()
    with started(shelf / "engine") as own:
        make_base(own)
        yield own


@pytest.fixture(scope="session")
def image(engine: Engine, shelf: Path) -> str:
    """The CPU variant of the project's image, built from what git would give a stranger."""
    context = _context(shelf / "context")
    conf = shelf / "pip.conf"
    conf.write_text(f"# {MARK}\n[global]\ncert = /run/host-ca.crt\nfind-links = /src\n")
    authorities = shelf / "authorities.crt"
    authorities.write_text(Path(ssl.get_default_verify_paths().cafile or conf).read_text() + f"\n# {MARK}\n")
    secrets = ["--secret", f"id=pipconf,src={conf}", "--secret", f"id=ca,src={authorities}"]
    index = [f"--build-arg=TORCH_INDEX_URL={os.environ.get('TORCH_INDEX_URL', '')}"]
    begun = time.monotonic()
    engine("build", "--network", "host", *secrets, *index, "-t", "haca3", str(context))
    MEASURED["image built in"] = f"{time.monotonic() - begun:.0f} s on {BASE}"
    size = int(engine("image", "inspect", "--format", "{{.Size}}", "haca3").stdout)
    MEASURED["image"] = f"{size / 1e9:.2f} GB"
    return "haca3"


def _context(folder: Path) -> Path:
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True).stdout.decode()
    for name in filter(None, listed.split("\0")):
        if (ROOT / name).exists():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, folder / name)
    (folder / "wheels").mkdir()
    for place in os.environ.get("PIP_FIND_LINKS", "").split():
        for wheel in Path(place).glob("torch-*cp311*.whl"):
            shutil.copy(wheel, folder / "wheels")
    return folder


@pytest.fixture(scope="session")
def dataset(engine: Engine, image: str, shelf: Path) -> Path:
    """One simulated person with a T1w, made by the image itself, and one whose scan is cut off."""
    made = shelf / "made"
    made.mkdir()
    made.chmod(0o777)
    words = ("simulate", "/made/bids", "--sites", "1", "--contrasts", "T1w", "--builtin-head")
    engine("run", "--rm", *HARD, "-v", f"{made}:/made", "--entrypoint", "haca3", image, *words)
    (good,) = (made / "bids/sub-01").rglob("*_T1w.nii.gz")
    broken = Path(str(good).replace("sub-01", "sub-02"))
    broken.parent.mkdir(parents=True)
    broken.write_bytes(good.read_bytes()[:20_000])
    people = made / "bids/participants.tsv"
    people.write_text(people.read_text() + people.read_text().splitlines()[-1].replace("sub-01", "sub-02") + "\n")
    return made / "bids"


@pytest.fixture(scope="session")
def apptainer(shelf: Path) -> Apptainer:
    return find_apptainer(shelf)


@pytest.fixture(scope="session")
def sif(apptainer: Apptainer, engine: Engine, image: str) -> Path:
    """The image as a SIF file, made by an ordinary user with the definition file."""
    shutil.copy(ROOT / "apptainer.def", apptainer.home)
    engine("save", image, "-o", str(apptainer.home / "haca3.tar"))
    (apptainer.home / "haca3.tar").chmod(0o644)
    begun = time.monotonic()
    apptainer("build", "haca3.sif", "apptainer.def")
    MEASURED["SIF built in"] = f"{time.monotonic() - begun:.0f} s"
    (apptainer.home / "haca3.tar").unlink()
    MEASURED["SIF"] = f"{(apptainer.home / 'haca3.sif').stat().st_size / 1e9:.2f} GB"
    return apptainer.home / "haca3.sif"
