"""``haca3 simulate``: every option changes what it should, and the dataset is valid, whole and repeatable."""

import hashlib
import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from haca3_bids.bids import simulated
from haca3_bids.cli import simulate, toolbox
from haca3_bids.physics import anatomy as heads_made
from haca3_bids.physics import cohort, people
from haca3_bids.physics.anatomy import FULL, SHAPE, Anatomy
from haca3_bids.physics.lesions import draw_lesions
from haca3_bids.physics.tissues import TISSUES
from haca3_bids.volumes.volume import Volume, load_volume, save_volume


def box(name="box"):
    shares = np.zeros((len(TISSUES), *SHAPE), np.uint8)
    shares[TISSUES.index("white"), 60:130, 60:160, 60:150] = FULL
    shares[TISSUES.index("grey"), 56:60, 60:160, 60:150] = FULL
    return Anatomy(shares, name)


def run(out, *options):
    return toolbox.main(["simulate", str(out), *map(str, options)])


@pytest.fixture
def sessions(monkeypatch):
    """The sessions that would be written, without an image being made."""
    found = []

    def write(session, scans, out):
        found.append(session)
        folder = out / f"sub-{session.person.label}"
        folder.mkdir(exist_ok=True)
        return {"participant_id": folder.name, "session_id": session.label, "site": "", "age": 0, "years": 0}

    monkeypatch.setattr(simulated, "write_session", write)
    monkeypatch.setattr(simulate, "_anatomies", lambda args, rng: [box() for _ in range(args.subjects)])
    monkeypatch.setattr(people, "texture", lambda shape, rng: np.zeros((3, 1), np.float32))
    monkeypatch.setattr(cohort, "scans", lambda session, rng, bad=None: found.append(bad is not None))
    return found


def of(found):
    return [one for one in found if not isinstance(one, bool)]


def test_people_who_do_not_travel_have_one_site_each(sessions, tmp_path):
    assert run(tmp_path / "out", "--sites", 2, "--subjects", 3) == 0
    assert [(s.person.label, s.label) for s in of(sessions)] == [("01", "siteA"), ("02", "siteB"), ("03", "siteA")]
    rows = (tmp_path / "out" / "participants.tsv").read_text().splitlines()
    assert rows[0].split("\t") == ["participant_id", "age", "site", "lesions"]
    assert [row.split("\t")[2] for row in rows[1:]] == ["A", "B", "A"]


def test_travellers_visit_every_site_as_often_as_asked(sessions, tmp_path):
    assert run(tmp_path / "out", "--sites", 2, "--travelling", "--sessions", 2, "--years", 2.5) == 0
    assert [(s.label, s.years) for s in of(sessions)] == [
        ("siteA01", 0.0), ("siteB01", 0.0), ("siteA02", 2.5), ("siteB02", 2.5)
    ]  # fmt: skip


def test_ages_are_drawn_between_the_two_given(sessions, tmp_path):
    run(tmp_path / "out", "--subjects", 4, "--ages", 60, 62)
    ages = [s.age for s in of(sessions)]
    assert all(60 <= age <= 62 for age in ages)
    assert len(set(ages)) > 1


def test_contrasts_and_seed_reach_the_sites(sessions, tmp_path):
    run(tmp_path / "one", "--contrasts", "PDw", "FLAIR")
    run(tmp_path / "two", "--contrasts", "PDw", "FLAIR", "--seed", 1)
    one, two = of(sessions)
    assert list(one.site.protocols) == ["PDw", "FLAIR"]
    assert one.site.protocols != two.site.protocols


def test_the_command_in_the_readme_gives_the_same_options_again(sessions, tmp_path):
    given = ("--seed", 20240101, "--subjects", 1, "--sessions", 3, "--years", 1.23456789, "--ages", 60, 61.1234567)
    assert run(tmp_path / "out", *given, "--contrasts", "FLAIR", "--lesions") == 0
    said = (tmp_path / "out" / "README.md").read_text().split("`")[1]
    parse = toolbox._parser("simulate").parse_args
    expected = ["simulate", "OUT", *map(str, given), "--contrasts", "FLAIR", "--lesions"]
    assert parse(said.split()[1:]) == parse(expected)
    assert "--seed 20240101 --ages 60 61.1234567" in said


def test_lesions_and_artifacts_are_there_when_asked_for(sessions, tmp_path, monkeypatch):
    monkeypatch.setattr("haca3_bids.physics.people.draw_lesions", lambda anatomy, rng: ("a lesion",))
    monkeypatch.setattr(cohort.Person, "at", lambda self, years: self.anatomy)
    run(tmp_path / "well")
    run(tmp_path / "ill", "--lesions", "--artifacts")
    assert [len(s.person.life.lesions) for s in of(sessions)] == [0, 1]
    assert [one for one in sessions if isinstance(one, bool)] == [False, True]


def test_label_maps_are_the_heads_and_strangers_are_made_of_them(tmp_path, monkeypatch):
    from haca3_bids.training import heads

    for name in ("b", "a"):
        save_volume(
            Volume(np.random.default_rng(0).random((4, 4, 4), np.float32), np.eye(4)), tmp_path / f"{name}.nii.gz"
        )
    monkeypatch.setattr(heads_made, "builtin_head", lambda icbm: box("builtin"))
    monkeypatch.setattr(heads, "head_from_labels", lambda path, builtin, name: box(name))
    monkeypatch.setattr(people, "another_person", lambda head, rng: Anatomy(head.shares, f"{head.name}-other"))
    parser = toolbox._parser("simulate")
    args = parser.parse_args(["simulate", "out", "--labels", str(tmp_path), "--subjects", "3"])
    assert [head.name for head in simulate._anatomies(args, None)] == ["a", "b", "a-other"]


@pytest.mark.parametrize(
    ("options", "code", "sentence"),
    [
        (["--sites", 0], 64, "--sites 0 is invalid"),
        (["--sessions", 0], 64, "--sessions 0 is invalid"),
        (["--ages", 20, 40], 64, "--ages 20 40 is invalid"),
        (["--ages", 60, 40], 64, "the younger one first"),
        (["--years", 0], 64, "not above zero"),
        (["--sessions", 8], 64, "could be 87 years old at their last session; the limit is 85"),
        (["--ages", 30, 40, "--sessions", 2, "--years", 45.5], 64, "could be 85.5 years old"),
    ],
)
def test_what_cannot_be_simulated_is_a_sentence_and_leaves_nothing(options, code, sentence, tmp_path, capsys):
    assert run(tmp_path / "out", *options) == code
    assert sentence in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_a_folder_that_is_not_empty_is_left_alone(tmp_path, capsys):
    (tmp_path / "mine.txt").write_text("x")
    assert run(tmp_path) == 73
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


OPTIONS = ("--sites", 1, "--sessions", 2, "--years", 4, "--lesions", "--artifacts", "--contrasts", "T2w")


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(simulate, "_anatomies", lambda args, rng: [box()])
        out = tmp_path_factory.mktemp("simulated") / "bids"
        assert run(out, *OPTIONS) == 0
    return out


@pytest.mark.parametrize("more", [(), pytest.param(("--lesions", "--artifacts"), marks=pytest.mark.slow)])
def test_the_same_seed_gives_the_same_bytes(more, tmp_path, monkeypatch):
    monkeypatch.setattr(simulate, "_anatomies", lambda args, rng: [box()])
    for name in ("once", "again"):
        assert run(tmp_path / name, "--sites", 1, "--contrasts", "T2w", *more) == 0

    def hashes(root):
        files = sorted(path for path in root.rglob("*") if path.is_file())
        return {str(path.relative_to(root)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}

    assert hashes(tmp_path / "once") == hashes(tmp_path / "again")


@pytest.mark.parametrize("part", ["", "derivatives/truth"])
def test_the_official_validator_finds_no_error(dataset, part):
    validator = shutil.which("bids-validator-deno", path=f"{Path(sys.executable).parent}") or "bids-validator-deno"
    done = subprocess.run([validator, "--format", "json", dataset / part], capture_output=True, text=True)
    issues = json.loads(done.stdout)["issues"]["issues"]
    assert not [issue for issue in issues if issue["severity"] == "error"]


def test_sidecars_tell_the_protocol_and_the_truth_tells_what_was_wrong(dataset):
    (raw,) = dataset.glob("sub-01/ses-siteA01/anat/*_T2w.json")
    said = json.loads(raw.read_text())
    assert said["MagneticFieldStrength"] in (1.5, 3.0)
    assert 0.07 < said["EchoTime"] < 0.13 < said["RepetitionTime"]
    assert said["ManufacturersModelName"] == "Scanner A"
    (truth,) = dataset.glob("derivatives/truth/sub-01/ses-siteA01/anat/*desc-truth_T2w.json")
    known = json.loads(truth.read_text())
    assert known["Protocol"]["te_ms"] == pytest.approx(1000 * said["EchoTime"])
    assert {"noise", "motion_voxels", "ghost", "missing_mm", "severity"} <= set(known["Acquisition"])


def test_the_truth_holds_maps_lesions_volumes_and_pose(dataset):
    truth = dataset / "derivatives/truth"
    folder = truth / "sub-01/ses-siteA02/anat"
    names = {path.name.split("_", 2)[2] for path in folder.glob("*.nii.gz")}
    space = "space-MNI152NLin2009cSym_res-1"
    maps = {f"{space}_label-{label}_probseg.nii.gz" for label in ("CSF", "GM", "SGM", "WM", "L")}
    assert names == maps | {
        f"{space}_desc-truth_T2w.nii.gz", f"{space}_desc-tissues_dseg.nii.gz", f"{space}_label-L_mask.nii.gz"
    }  # fmt: skip
    lines = (truth / "volumes.tsv").read_text().splitlines()
    header, first, second = (line.split("\t") for line in lines)
    years, lesion = header.index("years"), header.index("lesion")
    assert (first[years], second[years]) == ("0.0", "4.0")
    share = load_volume(next(folder.glob("*label-L_probseg.nii.gz"))).data
    assert float(second[lesion]) == pytest.approx(share.sum() / 1000, abs=0.01)
    assert float(second[lesion]) > float(first[lesion]) > 0
    assert len(list(folder.glob("*_xfm.json"))) == 1


def test_the_built_in_head_has_room_for_lesions():
    assert draw_lesions(box(), np.random.default_rng(0))
