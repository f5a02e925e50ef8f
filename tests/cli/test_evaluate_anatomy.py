"""``haca3 evaluate anatomy``: the right volumes of the right tissues, against the truth and between sessions."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from derivatives import AFFINE, SHAPE, ball, describe, name, save, tables

from haca3_bids.cli import toolbox
from haca3_bids.evaluation.overlap import dice

VALUES = {"CSF": 250.0, "GM": 600.0, "WM": 1000.0}


def tissues(shift: int = 0) -> dict[str, np.ndarray]:
    """White matter in grey matter in fluid; ``shift`` moves white matter by whole voxels."""
    white, inner, brain = np.roll(ball(5.6), shift, 0), ball(7), ball(8)  # shares that a brain could have
    return {"CSF": brain & ~inner, "GM": inner & ~white, "WM": white & inner}


@pytest.fixture(scope="module")
def cohort(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two people at two sites; unharmonized, the white matter of site B is in the wrong place."""
    root, rng = tmp_path_factory.mktemp("cohort"), np.random.default_rng(0)
    data = describe(root / "derivatives")
    for person in range(2):
        for session in "AB":
            for label, mask in tissues().items():
                save(mask, name(root / "truth", person, session, f"label-{label}_probseg"))
            numbers = sum(mask * number for mask, number in zip(tissues().values(), (3, 1, 2), strict=True))
            save(numbers, name(root / "labels", person, session, "dseg"))
            for desc, shift in (("preproc", 2 if session == "B" else 0), ("haca3", 0)):
                image = sum(VALUES[label] * mask for label, mask in tissues(shift).items())
                noisy = image + rng.normal(0, 20, SHAPE) * ball(8)
                save(noisy, name(data, person, session, f"desc-{desc}_T1w"))
                save(noisy, name(data, person, session, f"desc-{desc}_T2w"))
    return root


def run(*arguments: object) -> int:
    return toolbox.main(["evaluate", "anatomy", *map(str, arguments)])


@pytest.mark.parametrize("truth", ["truth", "labels"])
def test_tissues_are_compared_with_the_truth_and_between_sessions(cohort, capsys, truth, tmp_path) -> None:
    assert run(cohort / "derivatives", "--truth", cohort / truth, "--out", tmp_path) == 0
    rows, retests, means, tests, retest_means, retest_tests = tables(capsys.readouterr().out)
    assert {row["contrast"] for row in rows} == {"T1w"}
    for row in rows:
        mask = tissues()[row["tissue"]]
        shifted = (row["method"], row["session_id"]) == ("unharmonized", "ses-B")
        found = tissues(2 if shifted else 0)[row["tissue"]]
        assert float(row["true_volume_ml"]) == pytest.approx(mask.sum() / 1000, rel=1e-3)
        assert float(row["volume_ml"]) == pytest.approx(found.sum() / 1000, rel=0.06)
        assert float(row["dice"]) == pytest.approx(dice(found, mask), abs=0.05)
    before, after = (
        [float(row["retest_dice"]) for row in retests if (row["method"], row["tissue"]) == (method, "WM")]
        for method in ("unharmonized", "harmonized")
    )
    assert max(before) < 0.85 < 0.95 < min(after)
    assert {(row["tissue"], row["method"]) for row in means} == {
        (tissue, method) for tissue in VALUES for method in ("unharmonized", "harmonized")
    }
    assert {row["people"] for row in [*means, *tests, *retest_means, *retest_tests]} == {"2"}
    assert {"dice", "retest_dice"} & set(means[0]) == {"dice"}
    assert (tmp_path / "anatomy.html").read_text().count("<img ") == 1 + 4


def test_without_a_truth_only_sessions_are_compared(cohort, capsys) -> None:
    assert run(cohort / "derivatives", "--brain", cohort / "truth", "--contrast", "T1w", "T2w") == 0
    rows, _, means, _ = tables(capsys.readouterr().out)  # no means of comparisons with a truth
    assert {row["contrast"] for row in rows} == {"T1w", "T2w"}
    assert "dice" not in rows[0]
    assert "retest_dice" in means[0]


def test_a_person_with_one_session_counts_in_the_comparison_with_the_truth_only(cohort, capsys, tmp_path) -> None:
    data = tmp_path / "derivatives"
    shutil.copytree(cohort / "derivatives", data)
    shutil.rmtree(data / "sub-1/ses-B")
    assert run(data, "--truth", cohort / "truth") == 0
    _, _, means, _, retest_means, retest_tests = tables(capsys.readouterr().out)
    assert {row["people"] for row in means} == {"2"}
    assert {row["people"] for row in [*retest_means, *retest_tests]} == {"1"}


def test_the_simulator_s_truth_is_brought_to_the_images_by_way_of_the_scanner(cohort, capsys, tmp_path) -> None:
    """The truth lies elsewhere by a known shift: pose and transform undo it, without them Dice is low."""
    away = np.eye(4)
    away[0, 3] = 5.0  # from the truth's frame to the scanner's, which is that of the images
    moved = AFFINE.copy()
    moved[0, 3] -= 5.0
    for label, mask in tissues().items():
        save(mask, name(tmp_path / "truth", 0, "A", f"label-{label}_probseg"), moved)
    data = describe(tmp_path / "derivatives")
    for desc in ("preproc", "haca3"):
        file = name(data, 0, "A", f"desc-{desc}_T1w")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(name(cohort / "derivatives", 0, "A", "desc-haca3_T1w").read_bytes())
    assert run(data, "--truth", tmp_path / "truth") == 65
    assert "not on the same grid" in capsys.readouterr().err

    stem = "sub-0_ses-A_from-{}_to-{}_mode-image_xfm"
    pose = tmp_path / "truth/sub-0/ses-A/anat" / f"{stem.format('MNI152NLin2009cSym', 'scanner')}.json"
    pose.write_text(json.dumps({"MatrixRasMillimetres": away.tolist()}))
    assert run(data, "--truth", tmp_path / "truth") == 65
    assert "transform of sub-0_ses-A from the scanner" in capsys.readouterr().err
    itk = "#Insight Transform File V1.0\nTransform: AffineTransform_double_3_3\n"
    itk += "Parameters: 1 0 0 0 1 0 0 0 1 0 0 0\nFixedParameters: 0 0 0\n"
    (data / "sub-0/ses-A/anat" / f"{stem.format('T1w', 'MNI152NLin2009cSym')}.txt").write_text(itk)
    assert run(data, "--truth", tmp_path / "truth") == 0
    rows, *_ = tables(capsys.readouterr().out)
    assert min(float(row["dice"]) for row in rows) > 0.95


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["truth"], "is not a derivatives dataset"),
        (["derivatives", "--contrast", "FLAIR"], "no session with FLAIR"),
        (["derivatives", "--truth", "none"], "none is not a folder"),
        (["derivatives", "--truth", "derivatives"], "has no brain mask of sub-0_ses-A"),
        (["derivatives", "--truth", "derivatives", "--brain", "truth"], "has no tissue maps of sub-0_ses-A"),
        (["derivatives", "--brain", "truth", "--method", "x=constant"], "is constant"),
        (["derivatives", "--brain", "truth", "--method", "x=brain"], "it has no tissues"),
        (["derivatives", "--brain", "truth", "--method", "x=grid"], "does not share the grid"),
    ],
)
def test_what_cannot_be_measured_is_a_sentence(arguments, sentence, cohort, capsys, monkeypatch) -> None:
    monkeypatch.chdir(cohort)
    file = name(Path(), 0, "A", "desc-haca3_T1w").name
    save(np.ones(SHAPE), Path("constant", file))
    save(ball(9), Path("brain", file))
    save(ball(9), Path("grid", file), np.diag([1.0, 1, 2, 1]))
    assert run(*arguments) == 65
    assert sentence in capsys.readouterr().err
