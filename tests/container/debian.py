"""Root file systems of Debian packages, for machines that reach a mirror of Debian but no image registry."""

from __future__ import annotations

import re
import subprocess
import tarfile
from pathlib import Path

from docker_engine import Engine

BASE = "python:3.11-slim-bookworm"
BASE_PACKAGES = "python3,python3-pip,python3-venv,ca-certificates"
APPTAINER_PACKAGES = "apptainer,squashfs-tools,squashfuse,uidmap"
CLEAN = (  # what mmdebstrap takes over from the machine it runs on
    'rm -f "$1/etc/hostname" "$1/etc/resolv.conf"; '
    'echo "deb http://deb.debian.org/debian bookworm main" > "$1/etc/apt/sources.list"'
)


def mirror() -> str:
    """The mirror that this machine's own apt uses."""
    folder = Path("/etc/apt")
    files = [folder / "sources.list", *folder.glob("sources.list.d/*")]
    sources = "\n".join(file.read_text() for file in files if file.is_file())
    found = re.search(r"https?://\S+/debian/?(?=\s|$)", sources, flags=re.MULTILINE)
    assert found, "no Debian mirror among the apt sources"
    return found[0]


def make_base(engine: Engine) -> None:
    """Import a stand-in for the base image that the Dockerfile names."""
    words = ["mmdebstrap", "--variant=minbase", f"--include={BASE_PACKAGES}", f"--customize-hook={CLEAN}"]
    with subprocess.Popen([*words, "bookworm", "-", mirror()], stdout=-1, stderr=subprocess.DEVNULL) as maker:
        engine("import", "-", BASE, stdin=maker.stdout)


def make_apptainer_root(root: Path) -> None:
    """A root file system with Apptainer in it: a stable Debian has none."""
    words = [
        "mmdebstrap",
        "--variant=minbase",
        f"--include={APPTAINER_PACKAGES}",
        '--aptopt=Acquire::Check-Valid-Until "false"',
    ]
    archive = root.with_suffix(".tar")
    done = subprocess.run([*words, "sid", str(archive), mirror()], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    with tarfile.open(archive) as packed:
        packed.extractall(root, filter="fully_trusted", numeric_owner=True)
    archive.unlink()
    (root / "old").mkdir()
    (root / "etc/hosts").write_text("127.0.0.1 localhost\n")
    (root / "etc/resolv.conf").touch()
