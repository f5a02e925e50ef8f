from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from fake_parts import fake_weights, head, make_dataset

from haca3_bids.errors import BadInput, Haca3Error, NothingSelected, UsageError
from haca3_bids.execution import encode
from haca3_bids.execution.targets import mean_of, parse_targets
from haca3_bids.settings import HarmonizationSettings, Settings
from haca3_bids.volumes.volume import save_volume

App = Callable[..., int]
SPACE = "space-MNI152NLin2009cSym_res-1"
WEIGHTS = fake_weights(HarmonizationSettings())


def parsed(bids: Path, *targets: str) -> list[tuple[str, list[str]]]:
    requests = parse_targets(Settings(bids, bids / "out", targets=targets), WEIGHTS)
    return [(one.name, [v.contrast for v in one.values] or list(one.images)) for one in requests]


def test_each_form_of_a_target_is_understood(dataset: Path) -> None:
    image = dataset / "sub-02/anat/sub-02_T1w.nii.gz"
    assert parsed(dataset, "T1w", "b=T2w", "T2w:1,2", "c=FLAIR:-1,2.5,0.1,0.2", "sub-01", f"d={image}", str(image)) == [
        ("", ["T1w"]),
        ("b", ["T2w"]),
        ("custom", ["T2w"]),
        ("c", ["FLAIR"]),
        ("sub01", ["T1w", "T2w"]),
        ("d", ["T1w"]),
        ("sub02", ["T1w"]),
    ]


@pytest.mark.parametrize(
    ("typed", "kind"),
    [
        ("T3w", UsageError),
        ("PDw", UsageError),  # these weights bring no such reference
        ("T2w:1", UsageError),
        ("T2w:a,b", UsageError),
        ("/nowhere/x_T1w.nii.gz", BadInput),
        ("sub-99", NothingSelected),
        ("a_b=T1w", UsageError),
        ("xStd=T1w", UsageError),
    ],
)
def test_a_target_that_cannot_be_had_is_refused(dataset: Path, typed: str, kind: type[Haca3Error]) -> None:
    with pytest.raises(kind):
        parsed(dataset, typed)


@pytest.mark.parametrize("value", ["T2w", "sub-01", "sub-02/anat/sub-02_T1w.nii.gz", "mprage"])
def test_a_contrast_is_no_name_of_a_target(dataset: Path, value: str) -> None:
    with pytest.raises(UsageError, match="neither a sequence nor a sidecar.*as T1w=... requires"):
        parsed(dataset, f"T1w={value}")


def test_an_image_whose_name_does_not_say_its_contrast_is_refused(tmp_path: Path, dataset: Path) -> None:
    save_volume(head(), tmp_path / "scan.nii.gz")
    with pytest.raises(UsageError, match="does not contain its contrast"):
        parsed(dataset, str(tmp_path / "scan.nii.gz"))


def test_a_sidecar_without_its_contrast_is_told_how_it_is_written(dataset: Path) -> None:
    with pytest.raises(UsageError) as raised:
        parsed(dataset, "siteB=sub-01_T1w.json")
    assert "T1w=SIDECAR.json" in raised.value.hint


def test_two_targets_under_one_name_are_refused(dataset: Path) -> None:
    with pytest.raises(UsageError, match="same name"):
        parsed(dataset, "T2w:1,2", "T2w:3,4")
    assert len(parsed(dataset, "T2w:1,2", "T1w:3,4")) == 2


def test_a_subject_with_two_sessions_must_be_named_with_one(tmp_path: Path) -> None:
    bids = make_dataset(tmp_path / "two", {"sub-01_ses-1": ("T1w",), "sub-01_ses-2": ("T2w",)})
    with pytest.raises(UsageError, match="requires a single session"):
        parsed(bids, "sub-01")
    assert parsed(bids, "sub-01_ses-2") == [("sub01ses2", ["T2w"])]


def test_a_pattern_leaves_out_subjects_without_an_image(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    bids = make_dataset(tmp_path / "some", {"sub-01": ("T1w",), "sub-02": ("bold",), "sub-03": ("T1w",)})
    with caplog.at_level("WARNING", "haca3_bids"):
        request = mean_of("", "sub-*", "sub-*", Settings(bids, bids / "out"))
    assert [member.typed for member in request.members] == ["sub-*"] * 2
    assert "sessions without an image are left out (sub-02)" in caplog.text
    (tmp_path / "list.txt").write_text("sub-01 sub-02")
    with pytest.raises(UsageError, match="single session of sub-02 with images; found: none"):
        mean_of("", str(tmp_path / "list.txt"), "list.txt", Settings(bids, bids / "out"))


def test_an_image_is_preprocessed_and_encoded_before_it_is_a_target(app: App, dataset: Path, out: Path) -> None:
    assert app("--target", "sub-01", "--participant-label", "02") == 0
    sidecar = json.loads((out / f"sub-02/anat/sub-02_{SPACE}_desc-haca3sub01_T2w.json").read_text())
    data = head(0, 100.0).data
    assert sidecar["Target"]["Theta"][0] == pytest.approx(float((data * (1000 / data.max())).mean()), rel=1e-5)
    assert sidecar["Target"]["Origin"] == "image sub-01_T1w.nii.gz, sub-01_T2w.nii.gz"


def test_an_encoded_target_is_taken_over_by_later_runs(app: App, monkeypatch: pytest.MonkeyPatch) -> None:
    assert app("--target", "sub-01", "--participant-label", "02") == 0
    monkeypatch.setattr("haca3_bids.execution.encode._encode", None)
    assert app("--target", "sub-01", "--participant-label", "01") == 0


def test_without_a_target_each_contrast_goes_to_its_reference_where_the_weights_bring_one(
    app: App, tmp_path: Path, out: Path
) -> None:
    bids = make_dataset(tmp_path / "more", {"sub-01": ("PDw", "FLAIR")})
    assert app(bids=bids) == 0
    assert {path.name.split("_")[-1] for path in out.rglob("*desc-haca3_*.nii.gz")} == {"FLAIR.nii.gz"}
    only = make_dataset(tmp_path / "only", {"sub-01": ("PDw",)})
    assert app(bids=only, out=tmp_path / "none") == 64
    assert not (tmp_path / "none").exists()


def test_a_target_that_is_no_image_stops_the_run(app: App, tmp_path: Path, out: Path) -> None:
    save_volume(head().with_data(head().data * 0 + 3), tmp_path / "flat_T1w.nii.gz")
    assert app("--target", f"x={tmp_path / 'flat_T1w.nii.gz'}") == 65
    assert not list(out.rglob("*.nii.gz"))


def test_every_target_that_fails_is_named_with_its_image_in_one_message(
    app: App, tmp_path: Path, out: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("flat", "even"):
        save_volume(head().with_data(head().data * 0 + 3), tmp_path / f"{name}_T1w.nii.gz")
    asked = [f"{name}={tmp_path / f'{name}_T1w.nii.gz'}" for name in ("flat", "even")]
    assert app("--target", *asked, "sub-01") == 65
    said = capsys.readouterr().err
    assert all(f"--target {typed} could not be encoded" in said for typed in asked)
    assert all(f"({name}_T1w.nii.gz, while reading the scan): {name}_T1w" in said for name in ("flat", "even"))
    assert "sub-01 could not" not in said
    assert not list(out.glob("logs/*/crash-*"))  # found before anything is preprocessed


def test_a_target_image_that_is_not_one_volume_is_refused_before_the_run(app: App, tmp_path: Path, out: Path) -> None:
    (tmp_path / "text_T1w.nii.gz").write_text("no image")
    assert app("--target", f"x={tmp_path / 'text_T1w.nii.gz'}") == 65
    assert not out.exists()


def test_runs_that_waited_for_a_target_are_told_that_its_image_cannot_be_used_but_later_ones_try_it(
    app: App, tmp_path: Path, out: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    save_volume(head().with_data(head().data * 0 + 3), tmp_path / "flat_T1w.nii.gz")
    asked = ("--target", f"x={tmp_path / 'flat_T1w.nii.gz'}", "T2w:1,2")
    assert app(*asked) == 65
    said = capsys.readouterr().err
    assert "is constant" in said
    (note,) = out.glob("logs/locks/target-*.json")
    failed = note.read_text()
    note.unlink()
    real = encode.locked

    @contextmanager
    def after_another_run(folder: Path, what: str, patience_s: float = 9.0) -> Iterator[None]:
        with real(folder, what, patience_s=patience_s):
            if what == "target-x":
                note.write_text(failed)
            yield

    with monkeypatch.context() as waiting:
        waiting.setattr(encode, "locked", after_another_run)
        waiting.setattr(encode, "_encode", None)
        assert app(*asked) == 65
    assert capsys.readouterr().err == said
    assert app(*asked) == 65
    assert json.loads(note.read_text())["attempt"] != json.loads(failed)["attempt"]


def test_a_target_is_seen_in_the_reports_of_others_only_when_that_is_asked_for(
    app: App, dataset: Path, out: Path
) -> None:
    asked = ("--target", "sub-01", "--participant-label", "02")
    assert app(*asked) == 0
    assert not list(out.glob("figures/target-*"))
    assert "<figcaption>target</figcaption>" not in (out / "sub-02.html").read_text()
    assert app(*asked, "--show-targets") == 0
    assert sorted(path.name for path in out.glob("figures/target-*")) == [
        "target-haca3sub01_T1w.jpg",
        "target-haca3sub01_T2w.jpg",
    ]
    assert (out / "sub-02.html").read_text().count("<figcaption>target</figcaption>") == 2
    assert app("--reports-only") == 0
    assert "<figcaption>target</figcaption>" not in (out / "sub-02.html").read_text()


def test_several_sessions_are_averaged(app: App, dataset: Path, out: Path) -> None:
    one, both = ["--target", "sub-02"], ["--target", "all=sub-*"]
    assert app(*one, *both, "--target", "sub-01", "--participant-label", "02") == 0

    def theta(name: str, contrast: str) -> list[float]:
        sidecar = json.loads((out / f"sub-02/anat/sub-02_{SPACE}_desc-haca3{name}_{contrast}.json").read_text())
        return [float(value) for value in sidecar["Target"]["Theta"]]

    mean = [(a + b) / 2 for a, b in zip(theta("sub01", "T1w"), theta("sub02", "T1w"), strict=True)]
    assert theta("all", "T1w") == pytest.approx(mean)
    assert theta("all", "T2w") == pytest.approx(theta("sub01", "T2w"))  # only one of them has a T2w


def test_a_pattern_names_each_session_once(tmp_path: Path) -> None:
    bids = make_dataset(tmp_path / "raw", {"sub-01_ses-1": ("T1w",), "sub-01_ses-2": ("T1w",), "sub-02": ("T1w",)})
    (request,) = parse_targets(Settings(bids, bids / "out", targets=("all=sub-*",)), WEIGHTS)
    files = [next(iter(part.images.values())).name for part in request.parts]
    assert files == ["sub-01_ses-1_T1w.nii.gz", "sub-01_ses-2_T1w.nii.gz", "sub-02_T1w.nii.gz"]


def test_a_member_of_a_mean_does_not_collide_with_another_target(app: App, dataset: Path, out: Path) -> None:
    assert app("--participant-label", "02", "--target", "a=sub-*", "a1=sub-01") == 0
    assert {path.name.partition("desc-")[2] for path in out.rglob("*desc-haca3*T1w.nii.gz")} == {
        "haca3a_T1w.nii.gz", "haca3a1_T1w.nii.gz",
    }  # fmt: skip
    assert not list(out.parent.rglob("targets_wf/target_*"))  # scratch files are removed


def test_sessions_are_named_by_a_pattern_or_a_file(tmp_path: Path) -> None:
    sessions = {"sub-01_ses-1": ("T1w",), "sub-01_ses-2": ("T2w",), "sub-02_ses-2": ("T1w",)}
    bids = make_dataset(tmp_path / "two", sessions)
    listed = tmp_path / "sites.txt"
    listed.write_text("sub-01_ses-1\nsub-02_ses-2\n")
    settings = Settings(bids, bids / "out", targets=("sub-*_ses-2", str(listed)))
    pattern, file = parse_targets(settings, WEIGHTS)
    assert (pattern.name, pattern.contrasts) == ("subses2", ["T1w", "T2w"])
    assert (file.name, file.contrasts) == ("sites", ["T1w"])
    with pytest.raises(NothingSelected, match="matches no session"):
        parsed(bids, "sub-*_ses-9")
