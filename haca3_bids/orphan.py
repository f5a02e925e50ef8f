"""No orphans: a process ends with the one that started it, even where that one is killed."""

import ctypes
import os
import signal

PR_SET_PDEATHSIG = 1  # of linux/prctl.h
_LIBC = ctypes.PyDLL(None)  # loaded here: between fork and exec as little as possible is done


def end_with_parent(parent: int) -> None:
    """Let the kernel kill this process when its ``parent``, a process id, ends (Linux).

    To be called by the new process, first of all. Without it, the networks go on when the run is killed, and so do the
    workers of a pool, which keep the locks that they inherited.
    """
    _LIBC.prctl(PR_SET_PDEATHSIG, int(signal.SIGKILL))
    if os.getppid() != parent:  # it ended before
        os.kill(os.getpid(), signal.SIGKILL)
