"""The logs of a training run: losses, validation scores and a progress bar."""

import json
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from tqdm import tqdm

SAID_EVERY_S = 60.0  # seconds between two lines of progress where there is no terminal


class Record:
    """Writes ``losses.jsonl``, ``validation.jsonl`` and ``tensorboard/`` in the folder of a run.

    TensorBoard files require the extra ``train``. Progress is a bar on a terminal, else a line per minute.
    """

    def __init__(self, folder: Path, first: int, steps: int, leads: bool = True) -> None:
        self.folder, self.leads, self.start = folder, leads, time.monotonic()
        self.first, self.steps, self.said = first, steps, self.start
        if leads:
            folder.mkdir(parents=True, exist_ok=True)
            if first >= steps:
                sys.stderr.write(f"There is nothing left to do: {first} of {steps} steps are done in {folder}.\n")
            for name in ("losses", "validation"):
                _forget(folder / f"{name}.jsonl", first)
        self.board = _board(folder / "tensorboard", first) if leads else None
        self.bar: Any = None
        if leads and sys.stderr.isatty():
            self.bar = tqdm(total=steps, initial=first, desc=folder.name, unit="step", smoothing=0.1)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for each in (self.board, self.bar):
            if each is not None:
                each.close()

    def losses(self, step: int, losses: Mapping[str, float]) -> None:
        """Log the losses of a step."""
        self._write(step, {"seconds": time.monotonic() - self.start, **losses}, "losses")
        if self.bar is not None:
            self.bar.set_postfix(loss=f"{losses['total']:.3f}")
            self.bar.update()
        elif self.leads and (step == self.steps or time.monotonic() - self.said >= SAID_EVERY_S):
            self.said = time.monotonic()
            seconds = (self.said - self.start) / (step - self.first)
            left = f"{seconds * (self.steps - step) / 3600:.1f} h left"
            line = (
                f"{self.folder.name}: step {step} of {self.steps}, loss {losses['total']:.3f}, {seconds:.1f} s a step"
            )
            sys.stderr.write(f"{line}, {left}\n")

    def validation(self, step: int, scores: Mapping[str, float]) -> None:
        """Log the scores of a validation."""
        self._write(step, scores, "validation")

    def _write(self, step: int, values: Mapping[str, float], name: str) -> None:
        if not self.leads:
            return
        with (self.folder / f"{name}.jsonl").open("a") as stream:
            stream.write(json.dumps({"step": step, **{k: round(v, 6) for k, v in values.items()}}) + "\n")
        if self.board is not None:
            for key, value in values.items():
                self.board.add_scalar(f"{name}/{key}", value, step)


def _forget(path: Path, last: int) -> None:
    """Remove the lines of steps after ``last``, which an interrupted run did not save and will repeat."""
    if path.exists():
        lines = [line for line in path.read_text().splitlines(keepends=True) if line.endswith("\n")]
        path.write_text("".join(line for line in lines if json.loads(line)["step"] <= last))


def _board(folder: Path, first: int) -> Any:
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        return None
    return SummaryWriter(str(folder), purge_step=first + 1)
