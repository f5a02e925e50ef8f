"""The peak memory of this process."""

import contextlib
import re
from pathlib import Path


def forget_peak_memory() -> None:
    """Reset the peak of this process (Linux): workers run several steps."""
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")


def peak_memory_bytes() -> int | None:
    """The peak memory of this process since it was reset, without its parent's before exec; None if not Linux."""
    try:
        found = re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())
    except OSError:
        return None
    return int(found[1]) * 1024 if found else None
