"""The outcome of each session, the summary of a run, and its exit code."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from haca3_bids.errors import Haca3Error

DONE, FINISHED, SKIPPED, FAILED = "done", "finished earlier", "skipped", "failed"
PLANNED = "planned"  # of a dry run


@dataclass(frozen=True)
class Outcome:
    """The outcome of one session."""

    name: str  # sub-01_ses-1, or sub-01 where the subject failed as a whole
    status: str
    step: str = ""
    error: Haca3Error | None = None
    log: Path | None = None
    reason: str = ""

    @property
    def sentence(self) -> str:
        """Why it failed or was skipped."""
        return self.error.sentence if self.error else self.reason


def exit_code(outcomes: Sequence[Outcome]) -> int:
    """0 if nothing failed; the code of the error if all sessions failed with the same one; else 1."""
    failed = [outcome for outcome in outcomes if outcome.status == FAILED]
    if not failed:
        return 0
    codes = {outcome.error.exit_code if outcome.error else 1 for outcome in failed}
    nothing_else = all(outcome.status in (FAILED, SKIPPED) for outcome in outcomes)
    return codes.pop() if nothing_else and len(codes) == 1 else 1


def summary(outcomes: Sequence[Outcome], output_dir: Path, seconds: float) -> str:
    """The summary at the end of a run."""
    counts = {status: sum(one.status == status for one in outcomes) for status in (DONE, FINISHED, SKIPPED, FAILED)}
    lines = [
        "-" * 72,
        f"{counts[DONE]} done, {counts[FINISHED] + counts[SKIPPED]} skipped, {counts[FAILED]} failed "
        f"in {seconds / 60:.1f} minutes.",
    ]
    for one in outcomes:
        if one.status == FINISHED:
            lines.append(f"  skipped  {one.name}: finished by an earlier run (use --reprocess to repeat it)")
        elif one.status == SKIPPED:
            lines.append(f"  skipped  {one.name}: {one.reason}")
        elif one.status == FAILED:
            lines += _failure(one, output_dir)
    return "\n".join([*lines, f"Output: {output_dir}", f"Exit code {exit_code(outcomes)}.", "-" * 72])


def _failure(one: Outcome, output_dir: Path) -> list[str]:
    subject, _, session = one.name.partition("_")
    words = f"{subject}, {session}" if session else subject
    lines = [f"  failed   {words}, while {one.step or 'starting'}"]
    if one.error is not None:
        lines.append(f"           cause: {one.error.sentence}")
        lines.append(f"           try:   {one.error.hint or 'see the log'}")
    if one.log is not None:
        shown = one.log.relative_to(output_dir) if one.log.is_relative_to(output_dir) else one.log
        lines.append(f"           log:   {shown}")
    return lines
