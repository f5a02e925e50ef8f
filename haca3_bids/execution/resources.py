"""The processors and memory that this process may use according to cgroup, batch system and affinity."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from haca3_bids.settings import ExecutionSettings

MEMORY_SHARE = 0.9  # of what is allowed; the rest is for this process and the file cache
MOST_THREADS = 8  # a registration or a network gains little beyond
PROCESSORS = (  # variables with the processors of a job on this machine; of each batch system, the first that is set
    ("SLURM_CPUS_PER_TASK", "SLURM_CPUS_ON_NODE"),
    ("NSLOTS",),  # Grid Engine
    ("PBS_NUM_PPN", "NCPUS"),  # Torque, PBS Professional
    ("LSB_DJOB_NUMPROC",),  # LSF
)


@dataclass(frozen=True)
class Resources:
    """The resources of a run."""

    nprocs: int
    threads: int  # of one process
    memory_gb: float


def plan_resources(wanted: ExecutionSettings) -> Resources:
    """The requested resources, else all that are allowed."""
    nprocs = wanted.nprocs or allowed_processors()
    threads = min(wanted.omp_nthreads or min(nprocs, MOST_THREADS), nprocs)
    return Resources(nprocs, threads, wanted.mem_gb or MEMORY_SHARE * allowed_memory_gb())


def allowed_processors(environ: Mapping[str, str] = os.environ, root: Path = Path("/")) -> int:
    """The smallest of affinity, cgroup quota and the allocation of the batch system.

    loky's ``cpu_count`` reads the quota of the outermost control group only, no variable of a batch system and no
    memory.
    """
    limits = [len(os.sched_getaffinity(0)), *_cgroup_processors(root)]
    for variables in PROCESSORS:
        limits += [int(environ[name]) for name in variables if environ.get(name, "").isdigit()][:1]
    return max(1, min(limits))


def allowed_memory_gb(environ: Mapping[str, str] = os.environ, root: Path = Path("/")) -> float:
    """The smallest of the machine's memory, the cgroup limit and Slurm's allocation, in gigabytes."""
    import psutil

    limits = [float(psutil.virtual_memory().total), *_cgroup_bytes(root)]
    if environ.get("SLURM_MEM_PER_NODE", "").isdigit():
        limits.append(int(environ["SLURM_MEM_PER_NODE"]) * 2.0**20)
    elif environ.get("SLURM_MEM_PER_CPU", "").isdigit():
        limits.append(int(environ["SLURM_MEM_PER_CPU"]) * 2.0**20 * allowed_processors(environ, root))
    return min(limit for limit in limits if limit > 0) / 1e9


def _cgroup_processors(root: Path) -> list[int]:
    limits = []
    for folder in _cgroup_folders(root, "cpu"):
        quota = _words(folder / "cpu.max")  # version 2: "200000 100000" or "max 100000"
        if not quota:
            quota = _words(folder / "cpu.cfs_quota_us") + _words(folder / "cpu.cfs_period_us")
        if len(quota) == 2 and quota[0].isdigit() and int(quota[1]) > 0:
            limits.append(max(1, int(quota[0]) // int(quota[1])))
    return limits


def _cgroup_bytes(root: Path) -> list[float]:
    limits = []
    for folder in _cgroup_folders(root, "memory"):
        for name in ("memory.max", "memory.limit_in_bytes"):
            word = _words(folder / name)
            if word and word[0].isdigit() and int(word[0]) < 2**60:  # in version 1, a huge number means no limit
                limits.append(float(word[0]))
    return limits


def _cgroup_folders(root: Path, controller: str) -> list[Path]:
    """The control groups of this process (either version), from its own to the root."""
    mount = root / "sys/fs/cgroup"
    folders = []
    for line in _lines(root / "proc/self/cgroup"):
        _, controllers, path = line.split(":", 2)
        if controllers == "":
            base = mount
        elif controller in controllers.split(","):
            base = mount / controller
        else:
            continue
        own = base / path.lstrip("/")
        folders += [own, *[parent for parent in own.parents if parent.is_relative_to(base)]]
    return list(dict.fromkeys(folders)) or [mount, mount / controller]


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text().splitlines()
    except OSError:
        return []


def _words(path: Path) -> list[str]:
    return " ".join(_lines(path)).split()
