"""What every test stands on: few threads, nothing fetched or reported by accident, reasons for skipping."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess

import pytest

# Before any library reads them: the suite runs in two processes on two cores, and nothing calls home.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS", "1")
os.environ.setdefault("TEMPLATEFLOW_AUTOUPDATE", "0")
os.environ.setdefault("NIPYPE_NO_ET", "1")
os.environ.setdefault("NO_ET", "1")
os.environ.setdefault("MPLBACKEND", "Agg")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    reasons: dict[str, str | None] = dict.fromkeys(_NEEDS)
    for name in {marker.name for item in items for marker in item.iter_markers()} & _NEEDS.keys():
        reasons[name] = _NEEDS[name]()
    for item in items:
        for marker in item.iter_markers():
            if reason := reasons.get(marker.name):
                item.add_marker(pytest.mark.skip(reason=reason))


def _lacks_gpu() -> str | None:
    import torch

    return None if torch.cuda.is_available() else "needs a CUDA device"


def _lacks_network() -> str | None:
    try:
        socket.create_connection(("templateflow.s3.amazonaws.com", 443), timeout=5).close()
    except OSError:
        return "needs the internet"
    return None


def _lacks_container_engine() -> str | None:
    if shutil.which("dockerd") and shutil.which("mmdebstrap") and os.geteuid() == 0:
        return None
    if shutil.which("docker") and subprocess.run(["docker", "info"], capture_output=True).returncode == 0:
        return None
    return "needs a docker engine, or root and one to start (tests/container/install)"


def _lacks_slurm() -> str | None:
    if shutil.which("slurmctld") and os.geteuid() == 0:
        return None
    return "needs root and Slurm (apt-get install slurm-wlm slurmctld slurmd munge)"


_NEEDS = {
    "gpu": _lacks_gpu,
    "network": _lacks_network,
    "container": _lacks_container_engine,
    "slurm": _lacks_slurm,
}
