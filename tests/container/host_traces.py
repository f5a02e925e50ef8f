"""What would betray the machine on which an image was built."""

from __future__ import annotations

import os
import re
import socket
import subprocess
from pathlib import Path

MARK = "5f0c1a7e-the-host-was-here"  # stands in both secrets of the build
PUBLIC = re.compile(r"(^|\.)(debian\.org|pypi\.org|pythonhosted\.org|pytorch\.org|github\.com|ubuntu\.com|localhost)$")
SHORTEST = 6  # characters: shorter names are words that occur by chance
SETTINGS = re.compile(r"PIP|PROXY|INDEX|CERT|MIRROR", flags=re.IGNORECASE)


def traces() -> list[str]:
    """Texts of this machine that no image may hold: host names of its package sources, its own, its certificates."""
    found = {MARK, *_hosts(), *_certificates()}
    if len(socket.gethostname()) >= SHORTEST:
        found.add(socket.gethostname())
    return sorted(found)


def _hosts() -> set[str]:
    files = [*Path("/etc/apt").rglob("*.list"), *Path("/etc/apt").rglob("*.sources"), Path("/etc/pip.conf")]
    texts = [file.read_text() for file in files if file.is_file()]
    texts += [value for name, value in os.environ.items() if SETTINGS.search(name)]
    hosts = {host for text in texts for host in re.findall(r"://(?:[^/@\s]*@)?([\w.-]+)", text)}
    return {host for host in hosts if not PUBLIC.search(host) and len(host) >= SHORTEST}


def _certificates() -> set[str]:
    """The second line of every certificate that was added to the machine by hand."""
    files = Path("/usr/local/share/ca-certificates").rglob("*.crt")
    return {lines[2] for file in files if len(lines := file.read_text().splitlines()) > 3}


def found_in_layers(save: list[str], texts: list[str], folder: Path) -> list[str]:
    """Those of ``texts`` that occur anywhere in what ``docker save`` writes: every layer and the configuration."""
    patterns = folder / "patterns.txt"
    patterns.write_text("\n".join(texts) + "\n")
    with subprocess.Popen(save, stdout=subprocess.PIPE) as saving:
        search = ["grep", "-aoFf", str(patterns)]
        found = subprocess.run(search, stdin=saving.stdout, capture_output=True, text=True)
    assert saving.returncode == 0
    return sorted(set(found.stdout.splitlines()))
