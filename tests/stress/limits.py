"""Small disks and little memory, which only root can make: others skip the tests that need them."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

CGROUP = Path("/sys/fs/cgroup/memory")  # version 1
CGROUP_2 = Path("/sys/fs/cgroup")


@contextmanager
def small_disk(folder: Path, size_kb: int) -> Iterator[Callable[[str], None]]:
    """A disk in a folder; what is given is called with new options."""
    folder.mkdir(parents=True, exist_ok=True)
    words = ["mount", "-t", "tmpfs", "-o", f"size={size_kb}k", "tmpfs", str(folder)]
    if os.geteuid() != 0 or subprocess.run(words, capture_output=True).returncode != 0:
        pytest.skip("needs root and the right to mount")

    def remount(options: str) -> None:
        subprocess.run(["mount", "-o", f"remount,{options}", str(folder)], check=True)

    try:
        yield remount
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


@contextmanager
def limited_memory(name: str, megabytes: int) -> Iterator[list[str]]:
    """The words before a command that may not use more memory than that, with all its children."""
    folder = (CGROUP if CGROUP.is_dir() else CGROUP_2) / f"haca3-{name}"
    try:
        folder.mkdir()
    except OSError:
        pytest.skip("needs root and control groups")
    try:
        for file in ("memory.limit_in_bytes", "memory.memsw.limit_in_bytes", "memory.max"):
            if (folder / file).exists():
                (folder / file).write_text(f"{megabytes}M")
        yield ["sh", "-c", f'echo $$ > {folder}/cgroup.procs; exec "$@"', "sh"]
    finally:
        folder.rmdir()
