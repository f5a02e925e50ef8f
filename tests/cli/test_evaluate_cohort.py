"""The experiments on a cohort of ``haca3 simulate``, harmonized by the built-in weights.

Noise-free images with some noise stand for preprocessed scans, so that nothing has to be registered.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from derivatives import SPACE, describe, tables

from haca3_bids.cli import toolbox
from haca3_bids.physics.scanner import rician
from haca3_bids.preprocessing.transforms import write_itk
from haca3_bids.volumes.volume import load_volume, save_volume

pytestmark = pytest.mark.slow
CONTRASTS = ("T1w", "T2w")
TARGET = "sub-01_ses-siteB"
ALIKE_DB = 30.0  # PSNR in the brain above which scans of two sites count as alike


@pytest.fixture(scope="module")
def cohort(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two people at two sites, one of whom is harmonized to a session of the other."""
    root = tmp_path_factory.mktemp("cohort")
    words = ["--sites", "2", "--subjects", "2", "--travelling", "--seed", "2"]
    assert toolbox.main(["simulate", str(root / "raw"), *words]) == 0
    shutil.move(root / "raw/derivatives/truth", root / "truth")
    out, rng = describe(root / "out"), np.random.default_rng(0)
    for truth in sorted((root / "truth").glob("sub-*/ses-*/anat/*_desc-truth_*.nii.gz")):
        scan = load_volume(truth)
        file = out / truth.relative_to(root / "truth").with_name(truth.name.replace("desc-truth", "desc-preproc"))
        file.parent.mkdir(parents=True, exist_ok=True)
        save_volume(scan.with_data(1000 * rician(scan.data, 0.02, rng)), file, in_template=True)
    for pose in (root / "truth").glob("sub-*/ses-*/anat/*_to-scanner_*.json"):
        session = "_".join(pose.name.split("_")[:2])
        matrix = np.array(json.loads(pose.read_text())["MatrixRasMillimetres"])
        name = f"{session}_from-T1w_to-MNI152NLin2009cSym_mode-image_xfm.txt"
        write_itk(matrix, out / pose.parent.relative_to(root / "truth") / name)
    scans = {contrast: scan_of(out, "sub-02", "siteA", contrast) for contrast in CONTRASTS}
    sources = [word for contrast, path in scans.items() for word in ("--source", f"{contrast}={path}")]
    for contrast, path in scans.items():
        target = scan_of(out, "sub-01", "siteB", contrast)
        made = path.with_name(path.name.replace("desc-preproc", "desc-haca3siteB"))
        words = ["harmonize", *sources, "--target-image", str(target), "--out", str(made), "--device", "cpu"]
        assert toolbox.main(words) == 0
    return root


def scan_of(out: Path, person: str, session: str, contrast: str) -> Path:
    return out / f"{person}/ses-{session}/anat/{person}_ses-{session}_{SPACE}_desc-preproc_{contrast}.nii.gz"


def run(capsys: pytest.CaptureFixture[str], *words: object) -> list[list[dict[str, str]]]:
    assert toolbox.main(["evaluate", *map(str, words)]) == 0
    return tables(capsys.readouterr().out)


def test_harmonization_brings_a_traveller_nearer_to_the_scans_of_the_target_s_site(cohort, capsys) -> None:
    _, means, _ = run(capsys, "travelling", cohort / "out", "--target", TARGET, "--brain", cohort / "truth")
    for contrast in CONTRASTS:
        brain = {row["method"]: float(row["psnr_brain_db"]) for row in means if row["contrast"] == contrast}
        if brain["unharmonized"] > ALIKE_DB:  # a known failure: protocols that hardly differ (model-card.md)
            assert brain["harmonized"] > brain["unharmonized"] - 2
        else:
            assert brain["harmonized"] > brain["unharmonized"] + 1
            assert brain["harmonized"] > brain["histogram matching"]


def test_tissues_are_found_where_they_are(cohort, capsys) -> None:
    rows, *_ = run(capsys, "anatomy", cohort / "out", "--truth", cohort / "truth")
    dice = {
        (row["tissue"], row["method"]): float(row["dice"])
        for row in rows
        if (row["participant_id"], row["session_id"]) == ("sub-02", "ses-siteA")
    }
    assert min(dice.values()) > 0.7
    assert {method for _, method in dice} == {"unharmonized", "harmonized"}
