"""What a .bidsignore says is left out, as git would leave it out."""

from __future__ import annotations

import subprocess
from pathlib import Path, PurePosixPath

import pytest
from as_found import found, healthy_dataset, images, write_scan

from haca3_bids.bids.ignored import is_ignored, read_ignored
from haca3_bids.errors import NoUsableImage


@pytest.mark.parametrize(
    "patterns",
    [
        "*_run-2_*",
        "sub-01/anat/*run-2*",
        "**/*run-2_T1w.nii.gz",
        "/sub-*/**/*_run-2_T1w.*",
        "*run-[!1]*",
        "*_run-?_T1w*\n!*run-1*",
    ],
)
def test_an_ignored_run_is_not_preferred(patterns: str, tmp_path: Path) -> None:
    root = healthy_dataset(tmp_path / "raw")
    for run in (1, 2):
        write_scan(root / f"sub-01/anat/sub-01_run-{run}_T1w.nii.gz")
    (root / ".bidsignore").write_text(f"# a remark\n\n{patterns}\n")
    selected, said = found(root, validate=True)
    assert images(selected) == {"sub-01 T1w": "sub-01_run-1_T1w.nii.gz"}
    assert "sub-01_run-2_T1w.nii.gz: named in .bidsignore" in said


FILES = (
    "sub-01/anat/sub-01_T1w.nii.gz",
    "sub-01/anat/old/x.nii.gz",
    "sub-01/ses-1/anat/a.nii.gz",
    "extra/sub-01/anat/b.nii",
    "sub-02/anat/sub-02_run-1_T1w.nii.gz",
    "sub-02/anat/sub-02_run-2_T1w.nii.gz",
    "sub-03/anat/[x]_T1w.nii.gz",
)
PATTERNS = (
    "sub-01", "sub-01/", "/sub-01/", "anat/old/", "old/", "old", "sub-01/anat/*", "sub-*/anat", "**/anat/**", "*.nii",
    "sub-02/**/*run-[2-9]*", "sub-02/*/*run-[^2]*", "sub-0?/anat", "/anat", "*\n!sub-01", "*.gz\n!*run-1*", "[z-a]",
    "sub-03/anat/\\[x\\]*", "extra/**", "extra/**/b.nii", "\\!x", "*run*\n!sub-02_run-2*\n", "a*/b", "[x", "sub-01 ",
)  # fmt: skip


@pytest.mark.parametrize("pattern", PATTERNS)
def test_patterns_mean_what_they_mean_in_a_gitignore(pattern: str, tmp_path: Path) -> None:
    for name in FILES:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    for name in (".bidsignore", ".gitignore"):
        (tmp_path / name).write_text(pattern)
    subprocess.run(["git", "init", "--quiet", tmp_path], check=True)
    done = subprocess.run(["git", "-C", tmp_path, "check-ignore", *FILES], capture_output=True, text=True)
    by_git = {line.strip('"').encode().decode("unicode_escape") for line in done.stdout.splitlines()}
    patterns = read_ignored(tmp_path)
    assert {name for name in FILES if is_ignored(PurePosixPath(name), patterns)} == by_git


def test_a_dataset_of_which_all_is_ignored_says_so(tmp_path: Path) -> None:
    root = healthy_dataset(tmp_path / "raw")
    (root / ".bidsignore").write_text("sub-*\n")
    with pytest.raises(NoUsableImage) as caught:
        found(root)
    assert "named in .bidsignore" in caught.value.hint
