from __future__ import annotations

import os
import pickle
import subprocess
import sys
from pathlib import Path
from traceback import format_exception

import pytest

from haca3_bids.cli.app import main
from haca3_bids.errors import (
    BadInput,
    CannotCreate,
    FileLost,
    Haca3Error,
    InputOutputFailure,
    TemporaryFailure,
    UsageError,
    from_traceback,
)
from haca3_bids.execution.crash import error_from, read_crashes
from haca3_bids.execution.environment import child_environment, prepare_environment
from haca3_bids.execution.outcome import DONE, FAILED, FINISHED, SKIPPED, Outcome, exit_code, summary
from haca3_bids.execution.places import check_places, shareable_command
from haca3_bids.execution.resources import allowed_memory_gb, allowed_processors, plan_resources
from haca3_bids.settings import ExecutionSettings, Settings


def cgroup(root: Path, own: str, files: dict[str, str]) -> Path:
    (root / "proc/self").mkdir(parents=True)
    (root / "proc/self/cgroup").write_text(own)
    for name, text in files.items():
        path = root / "sys/fs/cgroup" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


def test_a_cgroup_of_version_2_limits_also_from_above(tmp_path: Path) -> None:
    files = {"job/cpu.max": "max 100000", "cpu.max": "100000 100000", "job/memory.max": "3000000000"}
    root = cgroup(tmp_path, "0::/job\n", files)
    assert allowed_processors({}, root) == 1
    assert allowed_memory_gb({}, root) == 3.0


def test_a_cgroup_of_version_1_limits_and_its_huge_number_does_not(tmp_path: Path) -> None:
    files = {
        "cpu/job/cpu.cfs_quota_us": "100000",
        "cpu/job/cpu.cfs_period_us": "100000",
        "memory/job/memory.limit_in_bytes": "2000000000",
        "memory/memory.limit_in_bytes": "9223372036854771712",
    }
    root = cgroup(tmp_path, "4:cpu,cpuacct:/job\n3:memory:/job\n", files)
    assert allowed_processors({}, root) == 1
    assert allowed_memory_gb({}, root) == 2.0


def test_slurm_limits_what_the_host_has(tmp_path: Path) -> None:
    assert allowed_processors({"SLURM_CPUS_PER_TASK": "1"}, tmp_path) == 1
    assert allowed_memory_gb({"SLURM_MEM_PER_NODE": "1024"}, tmp_path) == pytest.approx(1.073741824)
    by_cpu = {"SLURM_MEM_PER_CPU": "512", "SLURM_CPUS_ON_NODE": "1"}
    assert allowed_memory_gb(by_cpu, tmp_path) == pytest.approx(0.536870912)


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        ({"NSLOTS": "3"}, 3),
        ({"PBS_NUM_PPN": "4", "NCPUS": "2"}, 4),
        ({"NCPUS": "2"}, 2),
        ({"LSB_DJOB_NUMPROC": "5"}, 5),
        ({"NSLOTS": "3", "SLURM_CPUS_PER_TASK": "2"}, 2),
        ({"NSLOTS": "many", "LSB_DJOB_NUMPROC": ""}, 8),
        ({"NSLOTS": "64"}, 8),
    ],
)
def test_other_batch_systems_limit_the_processors_as_well(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, environ: dict[str, str], expected: int
) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: range(8))
    assert allowed_processors(environ, tmp_path) == expected


def test_without_limits_the_affinity_counts(tmp_path: Path) -> None:
    assert allowed_processors({}, tmp_path) == len(os.sched_getaffinity(0))


def test_what_is_asked_for_comes_before_what_is_allowed() -> None:
    planned = plan_resources(ExecutionSettings(nprocs=5, omp_nthreads=2, mem_gb=7.0))
    assert (planned.nprocs, planned.threads, planned.memory_gb) == (5, 2, 7.0)
    assert plan_resources(ExecutionSettings(nprocs=1, omp_nthreads=4)).threads == 1


def test_a_home_that_is_missing_or_not_writable_is_replaced(tmp_path: Path) -> None:
    for home in ({}, {"HOME": "/nonexistent"}, {"HOME": "/proc"}):
        environ = dict(home)
        prepare_environment(environ=environ)
        assert os.access(environ["HOME"], os.W_OK)
        assert Path(environ["MPLCONFIGDIR"]).is_dir()
        assert environ["USER"]
    environ = {"HOME": str(tmp_path)}
    prepare_environment(environ=environ)
    assert environ["HOME"] == str(tmp_path)


@pytest.mark.parametrize("home", ["/proc", "{tmp_path}"])
def test_without_a_folder_for_temporary_files_the_user_is_told_what_is_missing(
    dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], home: str
) -> None:
    """As in a container whose file system is read-only, and where nothing is mounted at /tmp."""
    monkeypatch.setattr("tempfile.tempdir", None)
    monkeypatch.setattr("tempfile._candidate_tempdir_list", list)
    monkeypatch.setenv("HOME", home.format(tmp_path=tmp_path))
    words = (str(dataset), str(tmp_path / "out"), "participant", "--template", "builtin", "--skip-bids-validation")
    assert main(words) == 73
    assert "No folder for temporary files is writable" in capsys.readouterr().err


def test_libraries_that_want_a_home_can_be_imported_without_one() -> None:
    code = (
        "from haca3_bids.execution.environment import prepare_environment; prepare_environment();"
        "import bids.layout, nipype.pipeline.engine, matplotlib.pyplot; print('imported')"
    )
    environ = {key: value for key, value in os.environ.items() if key not in ("HOME", "USER", "LOGNAME")}
    for home in ({}, {"HOME": "/nonexistent"}):
        done = subprocess.run(
            [sys.executable, "-c", code], env=environ | home, capture_output=True, text=True, check=False
        )
        assert done.stdout.strip() == "imported", done.stderr


def places(tmp_path: Path, out: str, work: str | None = None) -> Settings:
    bids = tmp_path / "bids"
    bids.mkdir(exist_ok=True)
    execution = ExecutionSettings(work_dir=None if work is None else tmp_path / work)
    return Settings(bids, tmp_path / out, execution=execution)


@pytest.mark.parametrize("out", ["bids", "bids/out", "bids/derivatives", "bids/sub-01/x", "."])
def test_an_output_inside_or_around_the_input_is_refused(tmp_path: Path, out: str) -> None:
    with pytest.raises(UsageError, match="inside"):
        check_places(places(tmp_path, out))


def test_the_input_s_own_derivatives_folder_is_where_bids_foresees_outputs(tmp_path: Path) -> None:
    check_places(places(tmp_path, "bids/derivatives/haca3"))


def test_scratch_inside_the_input_or_around_the_output_is_refused(tmp_path: Path) -> None:
    for out, work in (("out", "bids/work"), ("work/out", "work"), ("out", "out")):
        with pytest.raises(UsageError, match="scratch"):
            check_places(places(tmp_path, out, work))


def test_a_link_does_not_hide_that_the_output_lies_in_the_input(tmp_path: Path) -> None:
    settings = places(tmp_path, "link/out")
    (tmp_path / "link").symlink_to(tmp_path / "bids")
    with pytest.raises(UsageError, match="inside"):
        check_places(settings)


def test_a_missing_input_is_a_usage_error_and_a_file_as_output_cannot_be_created(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no folder"):
        check_places(Settings(tmp_path / "nowhere", tmp_path / "out"))
    (tmp_path / "file").write_text("")
    with pytest.raises(CannotCreate):
        check_places(places(tmp_path, "file"))


def test_a_shareable_command_holds_no_path_of_the_machine(tmp_path: Path) -> None:
    settings = places(tmp_path, "out", "w")
    words = [str(tmp_path / "bids"), str(tmp_path / "out"), "participant", "-w", str(tmp_path / "w")]
    words += ["--target", f"x={tmp_path}/bids/sub-01/a_T1w.nii.gz", "/elsewhere/b_T2w.nii.gz", "T2w:0,0"]
    assert shareable_command(words, settings) == (
        "haca3-bids BIDS_DIR OUTPUT_DIR participant -w WORK_DIR "
        "--target x=BIDS_DIR/sub-01/a_T1w.nii.gz b_T2w.nii.gz T2w:0,0"
    )


def test_the_current_folder_makes_no_path_of_a_word(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = places(tmp_path, "bids/derivatives/out")
    scan = tmp_path / "bids/sub-01/anat/sub-01_T1w.nii.gz"
    scan.parent.mkdir(parents=True)
    scan.symlink_to(tmp_path / "annex" / "MD5E-s1.nii.gz")
    options = ["participant", "--participant-label", "01", "--target", "T2w", "-vv", "--work-dir=w", "~nobody"]
    for folder, bids, out in (("bids", ".", "derivatives/out"), ("bids/sub-01", "..", "../derivatives/out")):
        monkeypatch.chdir(tmp_path / folder)
        said = shareable_command([bids, out, *options, str(scan)], settings)
        assert said == f"haca3-bids BIDS_DIR OUTPUT_DIR {' '.join(options)} BIDS_DIR/sub-01/anat/sub-01_T1w.nii.gz"
    monkeypatch.chdir(tmp_path)
    said = shareable_command(["bids", "./bids/derivatives/out/", "x=bids/sub-01/a.nii", "other/a"], settings)
    assert said == "haca3-bids BIDS_DIR OUTPUT_DIR x=BIDS_DIR/sub-01/a.nii a"


def printed(error: Exception) -> str:
    """As Nipype leaves it in a crash file: the traceback of the step, indented within its own."""
    inner = "".join(f"\t{line}\n" for line in "".join(format_exception(error)).splitlines())
    node = "Node: haca3_wf.sub_01_ses_1_wf.preprocess_wf.n4_T1w\nTraceback (most recent call last):\n"
    return f"{node}nipype.NodeExecutionError: Exception raised while executing Node n4_T1w.\n\nTraceback:\n{inner}\n"


SENTENCE = "sub-01_T1w.nii.gz is 4D (3 volumes). One 3D volume is needed; this is\nthe wrong file."


def test_a_crash_file_gives_session_step_cause_and_hint(tmp_path: Path) -> None:
    (tmp_path / "crash-1.txt").write_text(printed(BadInput(SENTENCE, "Leave it out.")))
    (crash,) = read_crashes(tmp_path)
    assert crash.concerns("sub_01_ses_1_wf")
    assert not crash.concerns("sub_01_wf")
    assert crash.step == "correcting the bias field (T1w)"
    assert isinstance(crash.error, BadInput)
    assert (crash.error.sentence, crash.error.hint) == (SENTENCE, "Leave it out.")


def test_an_expected_error_on_the_way_to_an_unexpected_one_is_not_its_cause() -> None:
    try:
        try:
            raise BadInput("It is 4D.")
        except BadInput:
            {}["missing"]
    except KeyError as error:
        found = error_from(printed(error))
    assert found.sentence == "Unexpected: KeyError: 'missing'"


def test_an_error_comes_back_from_another_process_as_it_was() -> None:
    error = pickle.loads(pickle.dumps(InputOutputFailure("A. B", "C. D")))
    assert (error.sentence, error.hint, len(error.__notes__)) == ("A. B", "C. D", 1)
    assert from_traceback("".join(format_exception(error))).sentence == "A. B"
    assert from_traceback("haca3-error: {") is None
    assert from_traceback("") is None


@pytest.mark.parametrize(
    ("line", "kind"),
    [
        ("OSError: [Errno 28] No space left on device: '/x'", InputOutputFailure),
        ("FileNotFoundError: [Errno 2] No such file or directory: '/x'", FileLost),
        ("traits.trait_errors.TraitError: The 'in_file' trait must be an existing file, but is '/x'", FileLost),
        ("TraitError: 'in_file' must be an existing file\n\nError setting node input:\nNode: judge", FileLost),
        ("PermissionError: [Errno 13] Permission denied: '/x'", CannotCreate),
        ("MemoryError", TemporaryFailure),
        ("numpy._core._exceptions._ArrayMemoryError: Unable to allocate 3 GiB", TemporaryFailure),
        ("KeyError: 'x'", Haca3Error),
    ],
)
def test_an_unexpected_error_is_told_by_its_last_line(line: str, kind: type[Haca3Error]) -> None:
    assert type(error_from(f"Traceback\n  File x\n{line}\n")) is kind


def outcome(status: str, error: Haca3Error | None = None) -> Outcome:
    return Outcome("sub-01_ses-1", status, "harmonizing", error, Path("/out/logs/r/crash.txt"), "no image")


def test_the_exit_code_is_the_class_s_own_only_where_all_fail_alike() -> None:
    bad, full = outcome(FAILED, BadInput("x")), outcome(FAILED, InputOutputFailure("y"))
    assert exit_code([outcome(DONE), outcome(FINISHED), outcome(SKIPPED)]) == 0
    assert exit_code([bad, bad]) == 65
    assert exit_code([bad, outcome(SKIPPED)]) == 65
    assert exit_code([bad, full]) == 1
    assert exit_code([bad, outcome(DONE)]) == 1


def test_the_last_block_says_everything_once() -> None:
    said = summary(
        [outcome(DONE), outcome(SKIPPED), outcome(FAILED, BadInput("It is 4D.", "Pick one."))], Path("/out"), 60
    )
    for words in ("1 done, 1 skipped, 1 failed", "sub-01, ses-1, while harmonizing", "It is 4D.", "Pick one."):
        assert words in said
    assert "logs/r/crash.txt" in said
    assert "Exit code 1." in said


def test_a_process_of_our_own_keeps_its_memory_unless_the_user_said_otherwise(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MALLOC_TRIM_THRESHOLD_", "1")
    monkeypatch.delenv("MALLOC_MMAP_THRESHOLD_", raising=False)
    found = child_environment(2)
    assert (found["MALLOC_TRIM_THRESHOLD_"], found["MALLOC_MMAP_THRESHOLD_"]) == ("1", str(2**30))
    assert found["OMP_NUM_THREADS"] == "2"
