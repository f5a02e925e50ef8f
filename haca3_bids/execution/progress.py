"""Progress of a run: one moving line on a terminal, a line for each step elsewhere and in the log file."""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from types import SimpleNamespace
from typing import Any

from haca3_bids.bids.names import session_of_node
from haca3_bids.execution.crash import error_from, step_in_words

LOGGER = logging.getLogger("haca3_bids")
LINE = "{desc}: {n:.1f} of {total} {unit}, {elapsed} elapsed, {remaining} left |{bar:20}| {postfix}"


class Progress:
    """Callback of Nipype that reports which steps start, and the progress of the run.

    Parameters
    ----------
    total, unit
        How many sessions (or targets) the run has, and what they are called.
    bar
        A tqdm bar, or None where there is no terminal.
    """

    def __init__(self, total: int, unit: str = "sessions", bar: Any = None) -> None:
        self.total, self.unit, self.bar = total, unit, bar
        self._share = 0.0  # of a session or target, that one step is

    def __getstate__(self) -> dict[str, Any]:
        """What is sent to another process, where there is no bar to move."""
        return self.__dict__ | {"bar": None}

    def __deepcopy__(self, memo: dict[int, Any]) -> Progress:
        """Itself: Nipype copies the arguments of a plugin."""
        return self

    def begin(self, workflow: Any, count: int) -> None:
        """Prepare for a graph that handles ``count`` of the sessions."""
        steps = sum(bool(step_in_words(name.rpartition(".")[2])) for name in workflow.list_node_names())
        self._share = count / max(1, steps)

    def done(self, count: int) -> None:
        """Add sessions that needed no graph."""
        if self.bar is not None:
            self.bar.update(count)

    def __call__(self, node: Any, status: str) -> None:
        """Tell the start of a step ("sub-01_ses-1: registering to the template"), and move on at its end."""
        words = step_in_words(node.name)
        if not words:
            return
        if status != "start":
            if self.bar is not None:
                self.bar.update(self._share)
            return
        line = f"{_session(node)}: {words}"
        shown = self.bar is not None and sys.stdout.isatty()
        LOGGER.log(logging.DEBUG if shown else logging.INFO, line)
        if self.bar is not None:
            self.bar.set_postfix_str(line)


def tell_failure(node: Any, traceback: Sequence[str]) -> None:
    """Tell the failure of a step when it happens: the end of the run, with its summary, can be days away."""
    words, error = step_in_words(node.name) or node.name, error_from("".join(traceback))
    LOGGER.warning("%s: failed while %s: %s", _session(node), words, error.sentence)


def _session(node: Any) -> str:
    """The session (or target) to which a step belongs."""
    _, *names = node.fullname.split(".")  # of the whole graph, the session and so on
    return session_of_node(names[0].removesuffix("_wf")) if names else node.fullname


@contextmanager
def progress_of(total: int, unit: str = "sessions") -> Iterator[Progress]:
    """The progress of a run over ``total`` sessions or targets; messages appear above the moving line."""
    if not sys.stderr.isatty():
        yield Progress(total, unit)
        return
    from tqdm import tqdm

    every = [*LOGGER.handlers, *logging.getLogger("nipype").handlers]
    handlers = [one for one in every if isinstance(one, logging.StreamHandler) and one.stream is sys.stdout]
    above = SimpleNamespace(write=partial(tqdm.write, file=sys.stdout, end=""), flush=sys.stdout.flush)
    with tqdm(total=total, unit=unit, desc="Progress", bar_format=LINE, leave=False, dynamic_ncols=True) as bar:
        for handler in handlers:
            handler.setStream(above)
        try:
            yield Progress(total, unit, bar)
        finally:
            for handler in handlers:
                handler.setStream(sys.stdout)
