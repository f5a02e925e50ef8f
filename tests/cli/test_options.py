from __future__ import annotations

import dataclasses
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from haca3_bids.cli.app import build_parser, main
from haca3_bids.cli.configure import read_labels, settings_from, to_toml
from haca3_bids.cli.options import every_option
from haca3_bids.errors import UnknownLevel, UsageError
from haca3_bids.option import labels, shaping
from haca3_bids.parse import memory_gb, show_memory
from haca3_bids.settings import HarmonizationSettings, Settings

GIVEN: dict[str, tuple[list[str], Any]] = {  # option: what is typed, what must stand in Settings
    "participant-label": (["sub-01", "02"], ("01", "02")),
    "session-label": (["ses-1"], ("1",)),
    "modalities": (["T1w", "FLAIR"], ("T1w", "FLAIR")),
    "bids-filter-file": (["/f.json"], Path("/f.json")),
    "bids-database-dir": (["/db"], Path("/db")),
    "skip-bids-validation": ([], True),
    "derivatives": (["fmriprep=/d"], (("fmriprep", Path("/d")),)),
    "template": (["builtin"], "builtin"),
    "random-seed": (["7"], 7),
    "force": (["registration"], ("registration",)),
    "super-resolution": (["builtin"], "builtin"),
    "longitudinal": ([], True),
    "sloppy": ([], True),
    "target": (["T1w", "site2=/t_T2w.nii.gz"], ("T1w", "site2=/t_T2w.nii.gz")),
    "weights": (["haca3"], "haca3"),
    "fusion-weights": (["median"], "median"),
    "variant": (["haca3plus"], "haca3plus"),
    "engine": (["authors"], True),
    "background": (["none"], "none"),
    "precision": (["bf16"], "bf16"),
    "beta": (["sample"], "sample"),
    "samples": (["3"], 3),
    "seed": (["9"], 9),
    "output-spaces": (["native"], ("template", "native")),
    "extra-outputs": (["beta"], ("beta",)),
    "output-dtype": (["int16"], "int16"),
    "qc-thresholds": (["noise=0.1:0.2", "air=none"], (("noise", 0.1, 0.2), ("air", None, None))),
    "group-by": (["site"], "site"),
    "show-targets": ([], True),
    "work-dir": (["/w"], Path("/w")),
    "clean-workdir": ([], True),
    "keep-work": ([], True),
    "nprocs": (["3"], 3),
    "omp-nthreads": (["2"], 2),
    "mem": (["12GB"], 12.0),
    "device": (["cuda:1"], "cuda:1"),
    "batch-size": (["4"], 4),
    "nipype-plugin-file": (["/p.yml"], Path("/p.yml")),
    "reprocess": ([], True),
    "stop-on-first-crash": ([], True),
    "resource-monitor": ([], True),
    "write-graph": ([], True),
    "debug": ([], True),
    "dry-run": ([], True),
    "reports-only": ([], True),
    "boilerplate-only": ([], True),
    "verbose": ([], 1),
}
ALONE = {"samples": ["--beta", "sample"]}  # what an option cannot go without


def settings(*words: str) -> Settings:
    return settings_from(build_parser().parse_args(["/in", "/out", "participant", *words]))


def field(made: Settings, name: str) -> Any:
    value: Any = made
    for part in name.split("."):
        value = getattr(value, part)
    return value


def test_the_list_of_what_is_tried_below_is_complete() -> None:
    assert set(GIVEN) == {option.name for option in every_option()}


@pytest.mark.parametrize("option", every_option(), ids=lambda option: option.name)
def test_an_option_fills_its_field(option: Any) -> None:
    typed, wanted = GIVEN[option.name]
    made = settings(*ALONE.get(option.name, []), f"--{option.name}", *typed)
    assert field(made, option.field) == wanted
    assert field(settings(), option.field) != wanted


@pytest.mark.parametrize("option", every_option(), ids=lambda option: option.name)
def test_the_toml_of_a_run_gives_the_same_settings_again(option: Any, tmp_path: Path) -> None:
    typed, _ = GIVEN[option.name]
    made = settings(*ALONE.get(option.name, []), f"--{option.name}", *typed)
    config = tmp_path / "config.toml"
    config.write_text(to_toml(made))
    again = settings("--config-file", str(config))
    acts = ("clean_workdir", "reprocess", "dry_run", "reports_only", "boilerplate_only")
    kept = dataclasses.replace(made.execution, **dict.fromkeys(acts, False))
    assert again == dataclasses.replace(made, execution=kept)


def test_what_is_typed_overrides_the_configuration_file(tmp_path: Path) -> None:
    config = tmp_path / "config.toml"
    config.write_text('[harmonization]\nprecision = "bf16"\nseed = 4\n')
    made = settings("--config-file", str(config), "--precision", "fp32")
    assert (made.harmonization.precision, made.harmonization.seed) == ("fp32", 4)


@pytest.mark.parametrize(
    "text",
    ["[harmonization]\nnonsense = 1", "[nothing]\nx = 1", "x = 1", "[harmonization", '[harmonization]\nbeta="x"'],
)
def test_a_configuration_file_with_something_unknown_is_refused(tmp_path: Path, text: str) -> None:
    config = tmp_path / "config.toml"
    config.write_text(text)
    with pytest.raises(UsageError):
        settings("--config-file", str(config))


def test_the_random_seed_is_also_the_networks_unless_they_have_their_own() -> None:
    assert settings("--random-seed", "7").harmonization.seed == 7
    assert settings("--random-seed", "7", "--seed", "3").harmonization.seed == 3


def test_labels_may_stand_in_a_file_one_a_line(tmp_path: Path) -> None:
    file = tmp_path / "labels.txt"
    file.write_text("participant_id\nsub-01\n\n02\n# a remark\n")
    assert read_labels(["sub-03", str(file), "01"], "sub-") == ("03", "01", "02")
    with pytest.raises(UsageError, match="not a BIDS label"):
        read_labels(["a/b"], "sub-")


def test_a_file_of_the_current_folder_hides_no_label(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("01").write_text("07\n")
    assert read_labels(["01"], "sub-") == ("01",)
    assert read_labels(["./01"], "sub-") == ("07",)
    assert read_labels(["sub-a+b"], "sub-") == ("a+b",)
    for word in ("./none", "none.txt", "é", "site-01", "", "sub-"):
        with pytest.raises(UsageError, match=r"not a BIDS label or a file of labels.*\./FILE"):
            read_labels([word], "sub-")


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
@pytest.mark.parametrize(
    "text", ["participant_id\tsite\r\nsub-01\tA\r\n02\tB", "Participant_ID,site\n01,A\nsub-02,B\n"]
)
def test_a_file_of_labels_may_come_from_a_spreadsheet(text: str, encoding: str, tmp_path: Path) -> None:
    (tmp_path / "labels.tsv").write_bytes(text.encode(encoding))
    assert read_labels([str(tmp_path / "labels.tsv")], "sub-") == ("01", "02")


def test_aliases_and_silent_options_are_accepted() -> None:
    made = settings("--participant_label", "01", "--session-id", "1", "--notrack", "-vv", "--mem-gb", "3")
    assert (made.selection.participants, made.selection.sessions) == (("01",), ("1",))
    assert (made.execution.verbosity, made.execution.mem_gb) == (2, 3.0)


def test_memory_has_a_unit_and_is_shown_as_it_is_read() -> None:
    assert (memory_gb("12GB"), memory_gb("900MB"), memory_gb("1.5TB"), memory_gb("2")) == (12, 0.9, 1500, 2)
    assert memory_gb(show_memory(0.9)) == 0.9
    with pytest.raises(Exception, match="not"):
        memory_gb("much")


def test_the_template_s_own_space_is_the_template_and_another_contradicts() -> None:
    assert settings("--output-spaces", "MNI152NLin2009cSym", "native").outputs.native
    with pytest.raises(UsageError, match="cannot be combined with"):
        settings("--template", "builtin", "--output-spaces", "MNI152NLin2009cSym")


def test_samples_without_sampling_are_refused() -> None:
    with pytest.raises(UsageError, match="--beta sample"):
        settings("--samples", "2")
    with pytest.raises(UsageError, match="--samples 2"):
        settings("--extra-outputs", "std")


@pytest.mark.parametrize(
    "change",
    [{"precision": "fp8"}, {"beta": "mean"}, {"samples": 0}, {"batch_size": 0}, {"background": ""}, {"seed": -1}],
)
def test_values_that_are_not_allowed_are_refused_wherever_settings_are_made(change: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match=r"--[a-z-]+ .* is invalid"):
        HarmonizationSettings(**change)


def test_a_negative_seed_is_refused_because_ants_would_take_the_clock_for_it() -> None:
    for flag in ("--random-seed", "--seed"):
        with pytest.raises(UsageError, match=rf"{flag} -1 is invalid\. Give 0 or more"):
            settings(flag, "-1")


def test_numbers_that_the_libraries_cannot_take_are_refused() -> None:
    for flag in ("--random-seed", "--seed", "--batch-size"):
        with pytest.raises(UsageError, match=rf"{flag} 2147483647 is invalid\. Give 2147483646 or less"):
            settings(flag, str(2**31 - 1))
    with pytest.raises(UsageError, match="'noise=nan' is not MEASURE=LOOK"):
        settings("--qc-thresholds", "noise=nan")


def test_settings_that_are_reported_have_a_label_of_their_own() -> None:
    found = labels(HarmonizationSettings)
    assert found == {"device": "Device", "precision": "Precision", "beta": "Anatomy", "seed": "Seed"}


def test_fingerprints_hold_what_shapes_voxels() -> None:
    given = HarmonizationSettings()
    assert {"precision", "beta", "seed"} <= set(shaping(given, "images"))
    assert not {"device", "threads", "weights", "batch_size"} & set(shaping(given, "images"))
    assert set(shaping(given, "images")) - set(shaping(given, "targets")) == {"variant", "beta", "samples"}


def test_an_unknown_level_is_17_and_wrong_usage_64(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["/in", "/out", "everyone"]) == UnknownLevel.exit_code == 17
    assert main(["/in", "/out", "participant", "--nonsense"]) == 64
    assert main(["/in"]) == 64
    assert main(["/nowhere", "/out", "participant"]) == 64
    assert "Traceback" not in capsys.readouterr().err


def test_help_and_version_come_at_once_without_heavy_imports() -> None:
    code = "import sys; from haca3_bids.cli.app import build_parser; build_parser().format_help(); print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    heavy = {"torch", "nipype", "bids", "numpy", "ants", "nilearn"}
    assert not heavy & set(done.stdout.split())
    version = [sys.executable, "-X", "importtime", "-m", "haca3_bids.cli.app", "--version"]
    told = subprocess.run(version, capture_output=True, text=True, check=True)
    imported = {line.rpartition("|")[2].strip() for line in told.stderr.splitlines()}
    assert "haca3_bids.cli.options" in imported
    assert not heavy & imported


def test_the_boutiques_descriptor_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as left:
        main(["--bids-exec-spec"])
    assert left.value.code == 0
    assert '"schema-version"' in capsys.readouterr().out


def test_an_option_outside_a_table_and_too_little_memory_are_whole_sentences(tmp_path: Path) -> None:
    config = tmp_path / "config.toml"
    for text, sentence in (
        ('target = "T1w"', "'target' in config.toml is not an option of haca3-bids."),
        ('[execution]\nmem = "0GB"', "config.toml: mem: '0GB' is too little memory (at least 0.1 GB)."),
    ):
        config.write_text(text)
        with pytest.raises(UsageError) as raised:
            settings("--config-file", str(config))
        assert raised.value.sentence == sentence
