"""Each option reaches what it governs, or its test fails; the real parts are tested in their own folders."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from fake_parts import fake_weights, head, make_dataset

from haca3_bids.volumes.volume import save_volume

App = Callable[..., int]
Record = Callable[[str], dict[str, Any]]
SPACE = "space-MNI152NLin2009cSym_res-1"


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.rglob("*.nii.gz")}


def job(record: Record, name: str = "sub-01") -> dict[str, Any]:
    settings: dict[str, Any] = record(name)["harmonization"]["job"]["settings"]
    return settings


def log(out: Path) -> Path:
    (folder,) = [path for path in (out / "logs").iterdir() if path.is_dir() and path.name != "locks"]
    return folder


def test_participant_label_takes_one_and_refuses_a_label_that_is_not_there(app: App, out: Path) -> None:
    assert app("--participant-label", "sub-02") == 0
    assert not (out / "sub-01").exists()
    assert (out / "sub-02").exists()
    assert app("--participant-label", "99") == 18


def test_session_label_takes_one_session(app: App, tmp_path: Path, out: Path) -> None:
    bids = make_dataset(tmp_path / "two", {"sub-01_ses-1": ("T1w",), "sub-01_ses-2": ("T1w",)})
    assert app("--session-label", "2", bids=bids) == 0
    assert [path.name for path in (out / "sub-01").glob("ses-*")] == ["ses-2"]
    assert app("--session-label", "9", bids=bids) == 18


def test_modalities_leaves_the_other_contrasts_out(app: App, record: Record) -> None:
    assert app("--participant-label", "01", "--modalities", "T2w") == 0
    assert record("sub-01")["harmonization"]["job"]["sources"] == ["T2w"]
    assert app("--modalities", "PDw") == 18


def test_the_filter_file_chooses_among_acquisitions(app: App, dataset: Path, tmp_path: Path, record: Record) -> None:
    save_volume(head(8), dataset / "sub-01/anat/sub-01_acq-b_T1w.nii.gz")
    filters = tmp_path / "filters.json"
    for wanted, chosen in (("b", "sub-01_acq-b_T1w.nii.gz"), (None, "sub-01_T1w.nii.gz")):
        filters.write_text(json.dumps({"t1w": {"acquisition": wanted}}))
        assert app("--participant-label", "01", "--bids-filter-file", str(filters)) == 0
        assert record("sub-01")["images"][0]["path"] == f"sub-01/anat/{chosen}"
    filters.write_text(json.dumps({"t1w": {"acquisition": "x"}, "t2w": {"acquisition": "x"}}))
    assert app("--bids-filter-file", str(filters)) == 18
    filters.write_text(json.dumps({"bold": {}}))
    assert app("--bids-filter-file", str(filters)) == 64


def test_the_database_is_kept_for_other_tools_and_hides_no_image(app: App, dataset: Path, tmp_path: Path) -> None:
    database = tmp_path / "db"
    assert app("--dry-run", "--bids-database-dir", str(database)) == 0
    assert not database.exists()
    assert app("--participant-label", "01", "--bids-database-dir", str(database)) == 0
    assert any(database.iterdir())
    (dataset / "sub-03/anat").mkdir(parents=True)
    save_volume(head(), dataset / "sub-03/anat/sub-03_T1w.nii.gz")
    assert app("--participant-label", "03", "--bids-database-dir", str(database)) == 0


def test_validation_can_be_skipped(app: App, dataset: Path) -> None:
    (dataset / "sub-01/anat/T1w.nii.gz").write_bytes(b"x")
    assert app("--dry-run", "--validate") == 16
    assert app("--dry-run") == 0


def test_earlier_derivatives_give_masks_and_transforms(app: App, tmp_path: Path, record: Record) -> None:
    anat = tmp_path / "earlier/sub-01/anat"
    anat.mkdir(parents=True)
    mask, transform = anat / "sub-01_desc-brain_mask.nii.gz", "sub-01_from-T1w_to-MNI152NLin2009cSym_mode-image_xfm.txt"
    save_volume(head(), mask)
    save_volume(head(), anat / "sub-01_desc-head_mask.nii.gz")
    (anat / transform).write_text("#Insight Transform File V1.0\n")
    assert app("--derivatives", f"smriprep={tmp_path / 'earlier'}") == 0
    given = record("sub-01")["preprocessing"]["given"]
    assert {key: Path(path).name for key, path in given.items()} == {
        "brain_mask": mask.name,
        "head_mask": "sub-01_desc-head_mask.nii.gz",
        "to_template": transform,
    }
    assert record("sub-02")["preprocessing"]["given"] == {}
    assert app("--derivatives", "x=/nowhere") == 64


def test_settings_reach_preprocessing_and_networks(app: App, record: Record) -> None:
    words = "--random-seed 5 --sloppy --omp-nthreads 2 --batch-size 3 --device cpu --background none --engine authors"
    words += " --force registration --super-resolution builtin"
    assert app(*words.split(), "--precision", "bf16", "--fusion-weights", "median", "--variant", "haca3plus") == 0
    before, after = record("sub-01")["preprocessing"]["settings"], job(record)
    assert (before["seed"], before["sloppy"], before["threads"]) == (5, True, 2)
    assert (before["force"], before["super_resolution"]) == (["registration"], "builtin")
    assert (after["seed"], after["threads"], after["batch_size"]) == (5, 2, 3)
    assert (after["device"], after["precision"], after["background"]) == ("cpu", "bf16", "none")
    assert (after["like_authors"], after["variant"], after["fusion_weights"]) == (True, "haca3plus", "median")


def test_the_device_found_for_the_networks_is_that_of_the_separate_program_too(
    app: App, record: Record, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "haca3_bids.execution.run.find_weights",
        lambda settings: dataclasses.replace(fake_weights(settings), device="cuda:1"),
    )
    assert app() == 0
    assert record("sub-01")["preprocessing"]["settings"]["device"] == "cuda:1"


def test_the_separate_program_without_a_gpu_is_warned_of(
    app: App, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("haca3_bids.execution.run.find_eclare", lambda: "run-eclare")
    assert app("--super-resolution", "eclare", "--device", "cpu", "--dry-run") == 0
    assert "half a day" in capsys.readouterr().out
    assert app("--super-resolution", "builtin", "--device", "cpu", "--dry-run") == 0
    assert "half a day" not in capsys.readouterr().out


def test_a_separate_program_that_is_not_there_is_found_out_before_anything_starts(
    app: App, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    assert app("--super-resolution", "eclare") == 69
    assert not out.exists()


def test_the_seed_of_the_networks_the_draws_and_the_template_are_passed_on(
    app: App, record: Record, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    monkeypatch.setattr("haca3_bids.execution.run.check_template", asked.append)
    assert app("--seed", "8", "--beta", "sample", "--samples", "4", "--template", "builtin") == 0
    assert (job(record)["seed"], job(record)["beta"], job(record)["samples"]) == (8, "sample", 4)
    assert asked == ["builtin"]
    assert record("sub-01")["preprocessing"]["settings"]["template"] == "builtin"


def test_the_builtin_template_has_its_own_space_label(app: App, out: Path) -> None:
    assert app("--template", "builtin", "--participant-label", "02") == 0
    assert f"sub-02_{SPACE.replace('cSym', 'aSym')}_desc-haca3_T1w.nii.gz" in names(out)


def test_the_weights_asked_for_are_the_ones_looked_for(app: App, out: Path) -> None:
    app("--weights", "special", "--participant-label", "02")
    description = json.loads((out / "dataset_description.json").read_text())
    assert bytes.fromhex(description["Haca3"]["Weights"]["sha256"].rstrip("0")) == b"special"


def test_extra_outputs_are_written(app: App, out: Path) -> None:
    words = ("--beta", "sample", "--samples", "2", "--extra-outputs", "beta", "attention", "std", "--target", "T1w")
    assert app("--participant-label", "01", *words) == 0
    stem = f"sub-01_{SPACE}_desc-"
    assert {f"{stem}betaToT1w_dseg.nii.gz", f"{stem}haca3Std_T1w.nii.gz"} <= names(out)
    assert {f"{stem}attention{c}ToT1w_probseg.nii.gz" for c in ("T1w", "T2w")} <= names(out)


def test_dry_run_prints_the_table_and_writes_nothing(
    app: App, out: Path, dataset: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = {path: path.stat().st_mtime_ns for path in dataset.rglob("*")}
    assert app("--dry-run", "--work-dir", str(tmp_path / "w")) == 0
    assert not out.exists()
    assert not (tmp_path / "w").exists()
    assert {path: path.stat().st_mtime_ns for path in dataset.rglob("*")} == before
    said = capsys.readouterr().out
    assert "sub-01/anat/sub-01_T2w.nii.gz (the only one of its contrast)" in said
    assert "sub-01: from T1w, T2w to T1w, T2w" in said


def test_the_scratch_folder_is_used_kept_and_cleaned(app: App, tmp_path: Path) -> None:
    work = tmp_path / "scratch"
    app("--work-dir", str(work), "--keep-work", "--participant-label", "01")
    (version,) = work.iterdir()
    assert (version / "haca3_wf/sub_01_wf/harmonize_wf/harmonize/job.json").exists()
    (version / "old").write_text("x")
    app("--work-dir", str(work), "--participant-label", "02")
    assert (version / "old").exists()
    assert not (version / "haca3_wf/sub_02_wf").exists()
    app("--work-dir", str(work), "--clean-workdir", "--participant-label", "02")
    assert not (version / "old").exists()


def test_debug_keeps_the_scratch_files(app: App, tmp_path: Path) -> None:
    app("--work-dir", str(tmp_path / "w"), "--debug", "--participant-label", "02")
    assert list((tmp_path / "w").glob("*/haca3_wf/sub_02_wf/harmonize_wf"))


def test_processes_and_memory_reach_the_plugin(app: App, monkeypatch: pytest.MonkeyPatch) -> None:
    from haca3_bids.execution import plugin

    seen: list[dict[str, Any]] = []
    real = plugin.SturdyMultiProcPlugin.__init__

    def spy(self: Any, plugin_args: dict[str, Any] | None = None) -> None:
        seen.append(dict(plugin_args or {}))
        real(self, plugin_args)

    monkeypatch.setattr(plugin.SturdyMultiProcPlugin, "__init__", spy)
    app("--nprocs", "1", "--mem", "3GB", "--participant-label", "02")
    assert (seen[0]["n_procs"], seen[0]["memory_gb"]) == (1, 3.0)


def test_the_plugin_file_chooses_the_engine(app: App, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "plugin.yml"
    file.write_text("plugin: Linear\nplugin_args: {}\n")
    monkeypatch.setattr("haca3_bids.execution.plugin.SturdyMultiProcPlugin.__init__", None)
    assert app("--nipype-plugin-file", str(file), "--participant-label", "02") == 0
    file.write_text("- no plugin\n")
    assert app("--nipype-plugin-file", str(file), "--reprocess") == 64


def test_stop_on_first_crash_leaves_the_others(
    app: App, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("FAKE_ENGINE", "refuses")
    app("--nprocs", "1", "--stop-on-first-crash")
    assert "stopped before this session" in capsys.readouterr().out
    monkeypatch.setenv("FAKE_ENGINE", "")
    app()
    monkeypatch.setenv("FAKE_ENGINE", "refuses")
    capsys.readouterr()
    app("--nprocs", "1", "--stop-on-first-crash", "--reprocess")
    assert "0 done, 0 skipped, 2 failed" in capsys.readouterr().out


def test_the_graph_and_the_resources_are_written_on_request(
    app: App, out: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = tmp_path / "here"
    here.mkdir()
    monkeypatch.chdir(here)
    assert app("--write-graph", "--resource-monitor", "--participant-label", "02") == 0
    assert "preprocess_wf" in (log(out) / "haca3_wf.dot").read_text()
    lines = (log(out) / "resources.tsv").read_text().splitlines()
    nodes = [line.split("\t")[0].rpartition(".")[2] for line in lines[1:]]
    assert sorted(nodes[:-1]) == ["draw", "draw_preprocessing", "harmonize", "judge", "n4"]
    assert nodes[-1] == "write"
    assert float(lines[1].split("\t")[3]) > 0
    assert not list(here.iterdir())


def test_more_verbose_is_more_said(app: App, capsys: pytest.CaptureFixture[str]) -> None:
    app("--participant-label", "02")
    quiet = capsys.readouterr().out
    app("--participant-label", "01", "-vv")
    assert "nipype.workflow" in capsys.readouterr().out
    assert "nipype.workflow" not in quiet


def test_reports_only_writes_the_pages_again_and_nothing_else(app: App, out: Path) -> None:
    app("--participant-label", "02")
    (out / "sub-02.html").unlink()
    before = {path: path.stat().st_mtime_ns for path in out.rglob("*.nii.gz")}
    assert app("--reports-only") == 0
    assert (out / "sub-02.html").exists()
    assert {path: path.stat().st_mtime_ns for path in out.rglob("*.nii.gz")} == before


def test_other_thresholds_change_the_verdict(app: App, record: Record) -> None:
    assert app("--participant-label", "02") == 0
    assert record("sub-02")["quality"]["verdict"] == "pass"
    strict = ("--qc-thresholds", "csf_floor=0.001:0.002")
    assert app("--participant-label", "02", "--reprocess", *strict) == 0
    quality = record("sub-02")["quality"]
    assert (quality["verdict"], quality["reasons"][0]["measure"]) == ("fail", "csf_floor")
    assert app("--qc-thresholds", "nonsense=1") == 64


def test_boilerplate_only_writes_the_methods_text(app: App, out: Path) -> None:
    assert app("--boilerplate-only") == 0
    assert "HACA3" in (out / "logs/CITATION.md").read_text()
    assert not (out / "sub-01").exists()


def test_a_run_is_repeated_from_its_own_configuration(app: App, out: Path, record: Record, tmp_path: Path) -> None:
    app("--precision", "bf16", "--beta", "argmax", "--participant-label", "02")
    config = log(out) / "config.toml"
    assert app("--config-file", str(config), out=tmp_path / "again") == 0
    assert not (tmp_path / "again/sub-01").exists()
    sidecar = tmp_path / f"again/sub-02/anat/sub-02_{SPACE}_desc-haca3_T1w.json"
    told = json.loads(sidecar.read_text())
    assert (told["Precision"], told["Anatomy"]) == ("bf16", "argmax")
