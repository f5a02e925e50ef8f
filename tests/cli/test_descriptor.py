from __future__ import annotations

import json
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from haca3_bids import errors
from haca3_bids.cli.app import build_parser
from haca3_bids.cli.descriptor import describe
from haca3_bids.cli.options import every_option
from haca3_bids.option import Option
from haca3_bids.parse import threshold

PACKAGED = Path(__file__).resolve().parents[2] / "boutiques.json"
TYPED = {  # words for options whose values have a form of their own
    "derivatives": ["smriprep=/data/smriprep"],
    "mem": "12GB",
    "target": ["T1w", "site=sub-01_ses-2", "T2w:-18,-16"],
}


def bosh(*words: str, cwd: Path | None = None) -> str:
    command = [sys.executable, str(Path(sys.executable).with_name("bosh")), *words]
    done = subprocess.run(command, capture_output=True, text=True, cwd=cwd)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def value(option: Option, identifier: str, folder: Path) -> Any:
    if option.kind is threshold:
        return ["noise=0.1:0.2"]
    described = next(one for one in describe()["inputs"] if one["id"] == identifier)
    if described["type"] == "Flag":
        return True
    if described["type"] == "Number":
        return 3 if described["integer"] else 0.25
    if option.choices:
        return list(option.choices[:2]) if option.many else option.choices[0]
    if described["type"] == "File":
        (folder / option.name).touch()
        return [option.name] if option.many else option.name
    return TYPED.get(option.name, ["a", "b"] if option.many else "a")


def everything(folder: Path) -> dict[str, Any]:
    identifiers = {one["command-line-flag"]: one["id"] for one in describe()["inputs"] if "command-line-flag" in one}
    (folder / "bids").mkdir()
    invocation: dict[str, Any] = {"InputDataset": "bids", "OutputLocation": "out", "AnalysisLevel": "participant"}
    for option in every_option():
        identifier = identifiers[f"--{option.name}"]
        invocation[identifier] = value(option, identifier, folder)
    return invocation


def test_the_packaged_descriptor_is_the_one_that_the_options_make() -> None:
    assert json.loads(PACKAGED.read_text()) == describe(), "python -m haca3_bids.cli.descriptor makes it anew"


@pytest.mark.parametrize("variant", [(), ("--cuda",)])
@pytest.mark.parametrize("rules", [(), ("--bids",)])
def test_bosh_finds_nothing_wrong(rules: tuple[str, ...], variant: tuple[str, ...], tmp_path: Path) -> None:
    command = [sys.executable, "-m", "haca3_bids.cli.descriptor", *variant]
    made = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    (tmp_path / "made.json").write_text(made)
    assert "OK" in bosh("validate", *rules, str(tmp_path / "made.json"))


def test_the_variants_differ_in_name_and_image_alone() -> None:
    plain, cuda = describe(), describe(cuda=True)
    assert {key for key in plain if plain[key] != cuda[key]} == {"name", "container-image"}
    assert cuda["container-image"]["container-opts"] == ["--gpus", "all"]


@pytest.mark.parametrize("case", describe()["tests"], ids=lambda case: case["name"])
def test_the_descriptor_s_own_tests_are_understood(case: dict[str, Any], tmp_path: Path) -> None:
    (tmp_path / "case.json").write_text(json.dumps(case["invocation"]))
    said = bosh("exec", "simulate", "-i", "case.json", str(PACKAGED), cwd=tmp_path)
    words = shlex.split(said.partition("haca3-bids ")[2])
    assert build_parser().parse_args(words).template == "builtin"


def test_every_option_travels_through_bosh_into_the_parser(tmp_path: Path) -> None:
    (tmp_path / "everything.json").write_text(json.dumps(everything(tmp_path)))
    said = bosh("exec", "simulate", "-i", "everything.json", str(PACKAGED), cwd=tmp_path)
    words = shlex.split(said.partition("haca3-bids ")[2])
    parsed = build_parser().parse_args(words)
    assert not [option.name for option in every_option() if getattr(parsed, option.dest) is None]
    assert parsed.level == "participant"


def test_a_target_is_given_as_a_name_and_as_a_file_that_is_copied_to_the_task(tmp_path: Path) -> None:
    (tmp_path / "site_T1w.nii.gz").touch()
    invocation = {"InputDataset": "bids", "OutputLocation": "out", "Target": ["T2w"], "TargetFile": ["site_T1w.nii.gz"]}
    (tmp_path / "bids").mkdir()
    (tmp_path / "two.json").write_text(json.dumps(invocation))
    said = bosh("exec", "simulate", "-i", "two.json", str(PACKAGED), cwd=tmp_path)
    target, file = build_parser().parse_args(shlex.split(said.partition("haca3-bids ")[2])).target
    assert target == "T2w"
    assert file.endswith("site_T1w.nii.gz")


def test_every_exit_code_is_described() -> None:
    kinds = {kind.exit_code for kind in vars(errors).values() if hasattr(kind, "exit_code")}
    assert {one["code"] for one in describe()["error-codes"]} == kinds


def test_the_identifiers_of_the_execution_specification_are_there() -> None:
    identifiers = {one["id"] for one in describe()["inputs"]}
    assert identifiers >= {"InputDataset", "OutputLocation", "AnalysisLevel", "ParticipantLabel", "SessionLabel"}
    assert describe()["custom"]["BIDSAppSpecVersion"]


def test_the_descriptor_is_printed_on_request() -> None:
    done = subprocess.run([sys.executable, "-m", "haca3_bids.cli.app", "--bids-exec-spec"], capture_output=True)
    assert json.loads(done.stdout) == describe()
