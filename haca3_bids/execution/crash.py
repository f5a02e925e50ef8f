"""Errors of steps, from Nipype's crash files: session, step, cause and hint."""

import re
from dataclasses import dataclass
from pathlib import Path

from haca3_bids.errors import CannotCreate, FileLost, Haca3Error, InputOutputFailure, TemporaryFailure, from_traceback
from haca3_bids.settings import CONTRASTS

STEPS = {
    "read": "reading the scan",
    "n4": "correcting the bias field",
    "register": "registering to the template",
    "coregister": "registering the contrasts to each other",
    "resample": "resampling to the template",
    "regions": "finding brain and white matter",
    "head": "finding the head",
    "white_matter": "finding the white-matter peak",
    "super_resolution": "reconstructing thin slices",
    "visit": "reading the scans of all visits",
    "frame": "computing the common frame of all sessions",
    "measure": "measuring the quality of the scan",
    "judge": "determining the verdict",
    "collect": "collecting the results of preprocessing",
    "harmonize": "harmonizing",
    "encode": "encoding the target",
    "native": "resampling to the scan's own grid",
    "draw_preprocessing": "drawing the figures of the preprocessing",
    "draw": "drawing the figures of the results",
    "write": "writing the outputs",
}
NO_SPACE = re.compile(r"Errno (28|122|5|116)\b")
NO_FILE = re.compile(r"Errno 2\b|TraitError: .* existing file")
NO_RIGHT = re.compile(r"Errno (1|13|30)\b")
HINT_BUG = "This is not an expected failure: please report it with the crash file."
HINT_MEMORY = "Set --mem, reduce --nprocs, or request more memory for the job."


@dataclass(frozen=True)
class Crash:
    """One failed step."""

    node: str  # full name, such as haca3_wf.sub_01_ses_1_wf.preprocess_wf.n4
    file: Path
    error: Haca3Error

    @property
    def step(self) -> str:
        """The step in words."""
        name = self.node.rpartition(".")[2].strip("_")
        return step_in_words(name) or name.replace("_", " ")

    def concerns(self, workflow: str) -> bool:
        """Whether the step belongs to the workflow of that name."""
        return workflow in self.node.split(".")


def step_in_words(node: str) -> str:
    """What a node of that name does, such as "correcting the bias field (T1w)"; empty for Nipype's helpers."""
    contrast = next((one for one in CONTRASTS if node.endswith(f"_{one}")), "")
    name = node.removesuffix(f"_{contrast}")
    words = STEPS.get(name) or STEPS.get(re.sub(r"\d+$", "", name), "")
    return f"{words} ({contrast})" if words and contrast else words


def read_crashes(folder: Path) -> list[Crash]:
    """All crash files in a folder of logs, the oldest first."""
    files = sorted(folder.glob("crash-*.txt"), key=lambda path: path.stat().st_mtime_ns)
    return [_read(path) for path in files]


def _read(path: Path) -> Crash:
    text = path.read_text(encoding="utf-8", errors="replace")
    node = re.search(r"^Node: (\S+)", text, re.MULTILINE)
    return Crash(node[1] if node else path.stem, path, error_from(text))


def error_from(traceback: str) -> Haca3Error:
    """The expected error at the end of a traceback, or the one that comes closest to an unexpected exception."""
    expected = from_traceback(traceback)
    if expected:
        return expected
    last = _last_line(traceback)
    if NO_SPACE.search(last):
        return InputOutputFailure(f"Reading or writing failed: {last}.", "Is the disk full, or the quota used up?")
    if NO_RIGHT.search(last):
        return CannotCreate(f"There is no permission to read or write: {last}.", "Check owner and permissions.")
    if NO_FILE.search(last):
        return FileLost(f"A file has disappeared: {last}.", "Was it removed? Run the same command again.")
    if "MemoryError" in last or "Cannot allocate memory" in last:
        return TemporaryFailure("Memory ran out.", HINT_MEMORY)
    return Haca3Error(f"Unexpected: {last}", HINT_BUG)


def _last_line(traceback: str) -> str:
    lines = [line.strip() for line in traceback.splitlines() if line.strip()]
    errors_found = [line for line in lines if re.match(r"[\w.]*(Error|Exception|Interrupt|Warning)(:|$)", line)]
    return (errors_found or lines or ["no message"])[-1]
