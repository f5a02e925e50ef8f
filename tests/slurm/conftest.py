"""A cluster to submit to: the one of this machine, or one of a single node that root sets up while the tests last.

Jobs of the latter are those of an ordinary user.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from pwd import getpwnam

import pytest

PATIENCE_S = 60
USER = "nobody"  # every machine has one
PARTS = Path(__file__).resolve().parents[1] / "execution"
CONFIG = """
ClusterName=test
SlurmctldHost={host}
SlurmUser=root
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldPort=16817
SlurmdPort=16818
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/linux
JobAcctGatherFrequency=1
JobAcctGatherParams=OverMemoryKill
ReturnToService=2
NodeName={host} CPUs={cores} RealMemory={memory_mb} State=UNKNOWN
PartitionName=all Nodes=ALL Default=YES State=UP
"""
Submit = Callable[..., str]


@pytest.fixture(scope="session")
def environment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """Variables with which ``sbatch`` reaches a cluster."""
    if shutil.which("sinfo") and _answers(os.environ):
        yield dict(os.environ)
        return
    needed = ("munged", "slurmctld", "slurmd", "sbatch")
    path = os.pathsep.join([os.environ["PATH"], "/usr/sbin"])
    if os.geteuid() != 0 or not all(shutil.which(word, path=path) for word in needed):
        pytest.skip("needs a Slurm cluster, or root with slurmctld, slurmd and munge installed")
    folder = tmp_path_factory.mktemp("cluster")
    _opened(folder)
    host = os.uname().nodename
    memory_mb = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2**20 // 2
    config = CONFIG.format(host=host, folder=folder, cores=os.cpu_count(), memory_mb=memory_mb)
    (folder / "slurm.conf").write_text(config)
    (folder / "munge.key").write_bytes(os.urandom(1024))
    (folder / "munge.key").chmod(0o600)
    variables = {**os.environ, "PATH": path, "SLURM_CONF": str(folder / "slurm.conf"), "LOGNAME": USER, "USER": USER}
    munged = ["munged", "--foreground", "--force", f"--key-file={folder}/munge.key", f"--socket={folder}/munge.socket"]
    munged += [f"--{kind}-file={folder}/munge.{kind}" for kind in ("pid", "log", "seed")]
    daemons = []
    try:
        for words in (munged, ["slurmctld", "-D"], [*_with_interpreter(folder), "slurmd", "-D", "-N", host]):
            with (folder / f"{len(daemons)}.out").open("w") as log:
                daemons.append(subprocess.Popen(words, env=variables, stdout=log, stderr=log))
            time.sleep(1)
        _wait(lambda: _answers(variables), folder)
        yield variables
    finally:
        for daemon in reversed(daemons):
            daemon.terminate()
            daemon.wait()


@pytest.fixture
def submit(environment: dict[str, str], tmp_path: Path) -> Submit:
    """Submit a script, wait until its jobs have ended, and give what they wrote; ``fails``: not all end well."""

    def run(script: str, *words: str, variables: Mapping[str, str] | None = None, fails: bool = False) -> str:
        (tmp_path / "job.sh").write_text(script)
        small = ("--cpus-per-task=1", "--mem=1500M", f"--chdir={tmp_path}", f"--output={tmp_path}/%A_%a.out")
        path = os.pathsep.join([str(tmp_path / "bin"), environment["PATH"]])
        known = {**environment, "PATH": path, "PYTHONPATH": os.pathsep.join([*sys.path, str(PARTS)])}
        done = subprocess.run(
            [*_as_user(environment, tmp_path), "sbatch", "--wait", *small, *words, str(tmp_path / "job.sh")],
            env=known | dict(variables or {}), capture_output=True, text=True, timeout=1200,
        )  # fmt: skip
        written = "".join(path.read_text() for path in sorted(tmp_path.glob("*_*.out")))
        assert (done.returncode != 0) == fails, done.stdout + done.stderr + written
        return written

    return run


def _opened(folder: Path) -> None:
    """Let other users reach a folder of pytest's."""
    for one in (folder, *folder.parents[:2]):
        one.chmod(0o755)


def _with_interpreter(folder: Path) -> list[str]:
    """Words before the daemon that starts jobs: whoever runs them reaches the interpreter, even in the home of root.

    In a namespace of mounts, the first folder that is closed to others shows nothing but the interpreter's.
    """
    interpreter = Path(sys.base_prefix).resolve()
    closed = [one for one in reversed(interpreter.parents) if not one.stat().st_mode & 0o001]
    if not closed:
        return []
    (folder / "kept").mkdir()
    lines = f"""mount --rbind '{interpreter}' '{folder}/kept'
        mount -t tmpfs -o mode=755 tmpfs '{closed[0]}'
        mkdir -p '{interpreter}'
        mount --rbind '{folder}/kept' '{interpreter}'
        exec "$@\""""
    return ["unshare", "--mount", "sh", "-ec", lines, "sh"]


def _as_user(environment: Mapping[str, str], home: Path) -> list[str]:
    """Words before a command of the ordinary user, who owns ``home``; none on the machine's own cluster."""
    if environment.get("LOGNAME") != USER:
        return []
    _opened(home)
    subprocess.run(["chown", "-R", USER, str(home)], check=True)
    account = getpwnam(USER)
    user = [f"--reuid={account.pw_uid}", f"--regid={account.pw_gid}", "--clear-groups"]
    return ["setpriv", *user, "env", f"HOME={home}"]


def _answers(variables: Mapping[str, str]) -> bool:
    done = subprocess.run(["sinfo", "-h", "-t", "idle"], env=dict(variables), capture_output=True, text=True)
    return done.returncode == 0 and bool(done.stdout.strip())


def _wait(ready: Callable[[], bool], folder: Path) -> None:
    for _ in range(PATIENCE_S):
        if ready():
            return
        time.sleep(1)
    raise AssertionError("\n".join(f"{path.name}:\n{path.read_text()}" for path in sorted(folder.glob("*.out"))))
