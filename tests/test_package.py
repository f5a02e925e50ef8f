"""The rules of the house, held by machines: layers, types, style, package data."""

from __future__ import annotations

import ast
import configparser
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import haca3_bids

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = Path(haca3_bids.__file__).resolve().parent


def run(*command: str) -> str:
    done = subprocess.run([sys.executable, *command], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def setup_cfg() -> configparser.ConfigParser:
    parser = configparser.ConfigParser()
    parser.read(ROOT / "setup.cfg")
    return parser


def names_of(requirements: str) -> set[str]:
    lines = [line for line in requirements.split("\n") if line and line[0] != "%"]
    return {re.split(r"[ ><=\[]", line)[0].lower() for line in lines}


def test_imports_point_from_the_app_to_the_paper_and_each_heavy_library_has_one_home() -> None:
    assert "0 broken" in run("-c", "import sys; from importlinter.cli import lint_imports; sys.exit(lint_imports())")


def test_every_signature_is_typed() -> None:
    run("-m", "mypy")


def test_the_style_is_the_same_everywhere() -> None:
    run("-m", "ruff", "check", ".")
    run("-m", "ruff", "format", "--check", ".")


def test_no_module_holds_two_concepts() -> None:
    long = {path.name: n for path in PACKAGE.rglob("*.py") if (n := len(path.read_text().splitlines())) > 300}
    assert not long


def test_no_two_files_of_tests_have_one_name() -> None:
    names = [path.name for path in (ROOT / "tests").rglob("*.py") if path.name != "conftest.py"]
    assert sorted(names) == sorted(set(names))  # pytest imports them by their names


def test_every_package_of_the_folder_is_found_by_setuptools() -> None:
    folders = {path.parent for path in PACKAGE.rglob("*.py")}
    assert all((folder / "__init__.py").exists() for folder in folders)


def test_what_is_imported_is_required_and_what_is_required_is_imported() -> None:
    required = names_of(setup_cfg()["options"]["install_requires"])
    sources = "\n".join(path.read_text() for path in PACKAGE.rglob("*.py"))
    imported = set(re.findall(r"^\s*(?:import|from) (\w+)", sources, flags=re.MULTILINE))
    names = {DISTRIBUTIONS.get(name, name) for name in imported - sys.stdlib_module_names - {"haca3_bids"}}
    optional = {"intensity_normalization", "monai", "tensorboard"}
    commands = {"bids-validator-deno"}  # used through its executable
    assert names - optional == required - commands


DISTRIBUTIONS = {
    "PIL": "pillow",
    "ants": "antspyx",
    "bids": "pybids",
    "skimage": "scikit-image",
    "sklearn": "scikit-learn",
    "tomli_w": "tomli-w",
    "yaml": "pyyaml",
}


def test_every_requirement_is_pinned_in_the_constraints() -> None:
    pinned = {line.split("==")[0].lower().replace("_", "-") for line in (ROOT / "constraints.txt").read_text().split()}
    options = setup_cfg()
    lists = [options["options"]["install_requires"], *options["options.extras_require"].values()]
    assert not set().union(*map(names_of, lists)) - pinned


def test_constraints_name_packages_and_versions_and_nothing_else() -> None:
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    assert all(re.fullmatch(r"[A-Za-z0-9._-]+==[0-9][A-Za-z0-9.]*", line) for line in lines)


def test_one_version_is_told_everywhere() -> None:
    assert f'version: "{haca3_bids.__version__}"' in (ROOT / "CITATION.cff").read_text()
    assert f"## {haca3_bids.__version__}" in (ROOT / "CHANGES.md").read_text()


def test_pyproject_holds_the_build_system_and_ruff_only() -> None:
    pyproject = tomllib.loads((ROOT / "pyproject.toml").read_text())
    assert set(pyproject) == {"build-system", "tool"}
    assert set(pyproject["tool"]) == {"ruff"}


def test_no_function_is_longer_than_a_page() -> None:
    long = {
        f"{path.name}: {node.name}": length
        for path in PACKAGE.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and (length := (node.end_lineno or 0) - node.lineno + 1) > 40
    }
    assert not long
