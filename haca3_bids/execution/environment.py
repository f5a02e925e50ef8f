"""The environment that libraries require (home, user name, threads), set before they are imported."""

from __future__ import annotations

import os
import pwd
import tempfile
from collections.abc import MutableMapping
from pathlib import Path
from typing import TYPE_CHECKING

import haca3_bids
from haca3_bids.errors import CannotCreate, UsageError
from haca3_bids.private import private_folder, temporary_folder

if TYPE_CHECKING:
    from haca3_bids.settings import Settings

# glibc returns large blocks to the kernel at once, and the networks request them again page by page. Keeping them, in
# huge pages, reduced the time for two sources from 366 s to 342 s on one core, with equal voxels and peak memory.
KEEP_MEMORY = {
    "MALLOC_MMAP_THRESHOLD_": str(2**30),
    "MALLOC_TRIM_THRESHOLD_": str(2**30),
    "GLIBC_TUNABLES": "glibc.malloc.hugetlb=1",
}


def prepare_environment(settings: Settings | None = None, environ: MutableMapping[str, str] = os.environ) -> None:
    """Set the variables that pybids, TemplateFlow, matplotlib and Nipype require, unless they are set already.

    If HOME is unset or not writable, as with ``docker run --user``, it becomes a temporary folder; a user id without a
    name gets one. Version checks are switched off, so that nothing is sent.
    """
    home = _writable_home(environ)
    environ["HOME"] = str(home)
    environ.setdefault("MPLCONFIGDIR", str(_made(home / ".config" / "matplotlib")))
    environ.setdefault("MPLBACKEND", "Agg")
    name = _user_name(environ)
    for variable in ("USER", "LOGNAME"):
        environ.setdefault(variable, name)
    for variable in ("NIPYPE_NO_ET", "NO_ET"):
        environ[variable] = "1"
    if settings is not None and settings.execution.omp_nthreads is not None:
        set_threads(settings.execution.omp_nthreads, environ)


def check_current_folder() -> None:
    """Raise UsageError if the current folder was deleted or cannot be read: some libraries read it on import."""
    hint = "Change to another folder, and give paths that do not start from this one."
    try:
        folder = Path.cwd()
    except OSError as error:
        raise UsageError(f"The current folder cannot be found ({error.strerror}).", hint) from error
    if not os.access(folder, os.R_OK | os.X_OK):
        raise UsageError(f"The current folder, {folder}, cannot be read (no permission).", hint)


def set_threads(threads: int, environ: MutableMapping[str, str] = os.environ) -> None:
    """Limit the numerical libraries of this process and its children to ``threads`` threads, also if already loaded."""
    from threadpoolctl import threadpool_limits

    threadpool_limits(threads)
    for variable in ("OMP_NUM_THREADS", "ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS", "OPENBLAS_NUM_THREADS"):
        environ[variable] = str(threads)


def child_environment(threads: int = 0) -> dict[str, str]:
    """The environment of a child process: this package is on its path, and it keeps freed memory."""
    here = str(Path(haca3_bids.__file__).parents[1])
    found = os.environ.get("PYTHONPATH", "")
    environment = KEEP_MEMORY | os.environ | {"PYTHONPATH": f"{here}{os.pathsep}{found}" if found else here}
    return environment | ({"OMP_NUM_THREADS": str(threads)} if threads else {})


def _writable_home(environ: MutableMapping[str, str]) -> Path:
    home = environ.get("HOME", "")
    if home and Path(home).is_dir() and os.access(home, os.W_OK | os.X_OK):
        return Path(home)
    try:
        return private_folder(temporary_folder() / f"haca3_bids-home-{os.getuid()}")
    except CannotCreate:  # somebody else made it first
        return Path(tempfile.mkdtemp(prefix="haca3_bids-", dir=temporary_folder()))


def _made(folder: Path) -> Path:
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    except OSError:
        return Path(tempfile.mkdtemp(prefix="haca3_bids-", dir=temporary_folder()))
    return folder


def _user_name(environ: MutableMapping[str, str]) -> str:
    if environ.get("USER"):
        return environ["USER"]
    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return f"uid{os.getuid()}"
