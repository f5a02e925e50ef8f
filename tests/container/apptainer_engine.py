"""Apptainer as an ordinary user runs it: the one of this machine, or one in a root file system of its own."""

from __future__ import annotations

import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest
from debian import make_apptainer_root

UID = "12345"
ENTER = """
mount --bind "$0" "$0" && cd "$0"
for folder in proc sys dev tmp; do mount --rbind "/$folder" "$folder"; done
pivot_root . old && umount -l /old
exec "$@"
"""  # not chroot: a process in a chroot may not make the user namespace that Apptainer needs


@dataclass(frozen=True)
class Apptainer:
    """Call it with the words that follow ``apptainer``; ``home`` is the user's own folder."""

    home: Path
    root: Path | None  # of the file system that has Apptainer; None: this one

    def __call__(self, *words: str, check: bool = True, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
        user = ["setpriv", "--reuid", UID, "--regid", UID, "--clear-groups", "--no-new-privs"]
        inside = ["env", "-i", f"HOME={self.home}", f"PATH={os.defpath}:/usr/bin", "apptainer", *words]
        inside = ["sh", "-c", 'cd "$0" && exec "$@"', str(cwd or self.home), *inside]
        if os.geteuid() == 0:
            inside = [*user, *inside]
        if self.root:
            inside = ["unshare", "--mount", "--propagation", "private", "sh", "-c", ENTER, str(self.root), *inside]
        done = subprocess.run(inside, capture_output=True, text=True)
        assert not check or done.returncode == 0, done.stdout[-4000:] + done.stderr[-4000:]
        return done


def find_apptainer(shelf: Path) -> Apptainer:
    """The machine's own Apptainer, or a fresh one under ``shelf``."""
    home = shelf / "home"
    home.mkdir(mode=0o777)
    home.chmod(0o777)
    if shutil.which("apptainer"):
        return Apptainer(home, None)
    if os.geteuid() != 0 or not shutil.which("mmdebstrap"):
        pytest.skip("needs Apptainer, or root and mmdebstrap to make a root file system that has it")
    make_apptainer_root(shelf / "sid")
    with (shelf / "sid/etc/passwd").open("a") as users:
        users.write(f"user:x:{UID}:{UID}::{home}:/bin/bash\n")
    return Apptainer(home, shelf / "sid")
