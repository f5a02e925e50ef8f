"""``haca3 train baseline``: what is asked for, and what is missing."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from derivatives import SHAPE, describe, name, save

from haca3_bids.cli import toolbox
from haca3_bids.cli.train_baseline import _scans, _sites

SPGR = {
    "MagneticFieldStrength": 3,
    "ScanningSequence": "GR",
    "RepetitionTime": 0.02,
    "EchoTime": 0.005,
    "FlipAngle": 20,
}
SPIN_ECHO = {"MagneticFieldStrength": 1.5, "RepetitionTime": 5, "EchoTime": 0.1}


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Sidecars of a session at each of two sites, B without T2w, and preprocessed scans of site A."""
    for site, contrasts in (("A", {"T1w": SPGR, "T2w": SPIN_ECHO}), ("B", {"T1w": SPGR})):
        folder = tmp_path / f"raw/sub-0/ses-{site}/anat"
        folder.mkdir(parents=True)
        for contrast, sidecar in contrasts.items():
            (folder / f"sub-0_ses-{site}_{contrast}.json").write_text(json.dumps(sidecar))
    describe(tmp_path / "out")
    for person in range(2):
        save(np.indices(SHAPE)[0], name(tmp_path / "out", person, "A", "desc-preproc_T1w"))
    return tmp_path


def words(data: Path, method: str, *more: str) -> list[str]:
    sessions = ["--source", f"{data}/raw/sub-0/ses-A", "--target", f"{data}/raw/sub-0/ses-B"]
    return ["train", "baseline", method, *sessions, "--out", f"{data}/run", "--simulate", str(data), *more]


def parsed(given: list[str]):
    return toolbox._parser("train").parse_args(given)


def test_sidecars_describe_the_sites_and_sessions_like_the_source_are_harmonized(data) -> None:
    args = parsed(words(data, "cut", "--apply", f"{data}/out"))
    sites = _sites(args)
    assert sites.contrasts == ("T1w",)
    assert (sites.source["T1w"].sequence, sites.source["T1w"].tr_ms) == ("SPGR", 20)
    assert [path.name for path in _scans(args)] == [name(data, who, "A", "desc-preproc_T1w").name for who in range(2)]


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (["cut", "--contrast", "T2w"], "cut needs sidecars of T2w in both sessions; they share T1w."),
        (["calamiti"], "calamiti needs sidecars of T1w and one more contrast in both sessions; they share T1w."),
        (["cut", "--apply", "raw"], "raw is not a derivatives dataset"),
        (["cut", "--apply", "out", "--source", "raw/sub-0/ses-B"], "out has no desc-preproc T1w of ses-B."),
        (["cut", "--source", "nowhere"], "they share none"),
    ],
)
def test_what_is_missing_is_said(data, capsys, monkeypatch, change, sentence) -> None:
    monkeypatch.chdir(data)
    assert toolbox.main(words(data, *change)) in (64, 65)
    assert sentence in capsys.readouterr().err
    assert not (data / "run").exists()


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ("baseline", "needs a method and two sites"),
        ("baseline cut", "two sites"),
        ("haca3 cut", "does not accept a method (cut)"),
        ("haca3 --apply out", "haca3 train haca3 does not accept --apply"),
        ("mixture --contrast T2w", "haca3 train mixture does not accept --contrast"),
        ("baseline cut --start-from builtin", "Only haca3 train mixture and haca3 accept it"),
        ("baseline cut --striped", "Only haca3 train fusion accepts it"),
        ("artifact --data out", "haca3 train artifact does not accept --data"),
        ("export --steps 5", "Only haca3 train mixture, artifact, haca3, fusion and baseline accept it"),
        ("mixture --sites sites.tsv", "--sites has no effect without --data"),
    ],
)
def test_a_baseline_has_a_method_and_two_sites_and_nothing_else_has(tmp_path, capsys, given, sentence) -> None:
    assert toolbox.main(["train", *given.split(), "--simulate", str(tmp_path), "--out", str(tmp_path / "run")]) == 64
    assert sentence in capsys.readouterr().err
