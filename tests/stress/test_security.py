"""What comes from files and names runs no code, reaches no shell, and shows on pages as text; nothing calls home."""

from __future__ import annotations

import ast
import json
import re
import shutil
from collections.abc import Iterator
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest
from runs import Run

import haca3_bids
from haca3_bids.checkpoints.registry import RELEASED

PACKAGE = Path(haca3_bids.__file__).parent
FORBIDDEN = {
    "eval", "exec", "os.system", "os.popen", "pickle.load", "marshal.loads", "shelve.open", "joblib.load",
    "yaml.load", "yaml.unsafe_load", "torch.hub.load", "subprocess.getoutput",
}  # fmt: skip
OWN_PICKLES = {"execution/plugin.py"}  # a step on its way to a worker that this process started


def calls() -> Iterator[tuple[str, str, ast.Call]]:
    """File, name and call of everything that the package calls by a name."""
    for path in sorted(PACKAGE.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call):
                yield str(path.relative_to(PACKAGE)), ast.unparse(node.func), node


CALLS = list(calls())


def test_no_call_runs_what_a_file_says() -> None:
    assert [(file, name) for file, name, _ in CALLS if name in FORBIDDEN] == []
    assert {file for file, name, _ in CALLS if name.startswith("pickle.")} == OWN_PICKLES
    assert not [file for file, _, call in CALLS if "allow_pickle" in {word.arg for word in call.keywords}]


def test_every_checkpoint_is_read_with_weights_only() -> None:
    loads = [call for _, name, call in CALLS if name == "torch.load"]
    assert len(loads) >= 3
    for call in loads:
        words = {word.arg: ast.unparse(word.value) for word in call.keywords}
        assert words["weights_only"] == "True"


def test_no_command_goes_through_a_shell() -> None:
    started = [(file, call) for file, name, call in CALLS if name.startswith("subprocess.")]
    assert started
    for file, call in started:
        assert not [word for word in call.keywords if word.arg == "shell"], file


def test_everything_that_is_fetched_comes_by_https_and_has_a_hash() -> None:
    assert all(entry.url.startswith("https://") for entry in RELEASED.values())
    assert all(re.fullmatch("[0-9a-f]{64}", entry.sha256) for entry in RELEASED.values())
    plain = {
        address
        for path in PACKAGE.rglob("*")
        if path.suffix in (".py", ".j2", ".js", ".json")
        for address in re.findall(r"http://[\w./-]+", path.read_text())
    }
    assert plain <= {"http://www.w3.org/2000/svg"}  # a name, which nothing is fetched from


ESCAPED_BEFORE = {"style", "script", "data", "session.theta", "methods"}  # made by this package


def test_pages_escape_all_but_what_the_package_makes() -> None:
    found = {
        match
        for path in (PACKAGE / "reports/templates").glob("*.j2")
        for match in re.findall(r"\{\{\s*([\w.]+)\s*\|\s*safe\s*\}\}", path.read_text())
    }
    assert found == ESCAPED_BEFORE


HOSTILE = "<script>alert(1)</script><img src=x onerror=alert(2)>"
SHELL = "\"';$(touch trace)`touch trace`&touch trace;"
FORMULA = "=cmd|' /C calc'!A0"
HOOK = """
import os, socket
_connect = socket.socket.connect

def connect(self, address):
    if self.family in (socket.AF_INET, socket.AF_INET6):
        with open(os.environ["CALLED"], "a") as file:
            print(address, file=file)
    return _connect(self, address)

socket.socket.connect = connect
"""


class Elements(HTMLParser):
    """The elements of a page, with their attributes."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))


@pytest.mark.slow
def test_hostile_names_and_sidecars_are_text_and_nothing_is_sent(run: Run, heads: Path) -> None:
    """Of one run and its group level: no element of theirs on a page, no command of theirs run, no connection."""
    raw = run.folder / "raw"
    shutil.copytree(heads, raw)
    anat = raw / "sub-02/anat"
    named = anat / f"sub-02_acq-{(HOSTILE + SHELL).replace('/', '')}_T1w.nii.gz"
    (anat / "sub-02_T1w.nii.gz").rename(named)
    values = {"Manufacturer": HOSTILE, "ProtocolName": SHELL, "EchoTime": HOSTILE, "ImageType": [HOSTILE]}
    (raw / "sub-01/anat/sub-01_T1w.json").write_text(json.dumps(values))
    (anat / named.name.replace(".nii.gz", ".json")).write_text(json.dumps(values))
    description = json.loads((raw / "dataset_description.json").read_text())
    (raw / "dataset_description.json").write_text(json.dumps(description | {"Name": HOSTILE, "Authors": [HOSTILE]}))
    (raw / "participants.tsv").write_text(f"participant_id\tsite\nsub-01\t{HOSTILE}\nsub-02\t{FORMULA}\n")
    hooks = run.folder / "hooks"
    hooks.mkdir()
    (hooks / "sitecustomize.py").write_text(HOOK)
    watched = {"PYTHONPATH": str(hooks), "CALLED": str(run.folder / "called")}
    hostile = Run(run.folder, raw, variables=watched)
    assert hostile.finish("--target", f"x={named}") in (0, 64, 65), hostile.said
    assert hostile.finish() == 0, hostile.said
    assert hostile.finish("--reports-only") == 0, hostile.said
    assert replace(hostile, level="group").finish("--group-by", "site") == 0, hostile.said
    pages = [*hostile.out.glob("*.html"), *hostile.out.glob("logs/*/*.html")]
    assert len(pages) >= 3
    for page in pages:
        text = page.read_text()
        assert "<script>alert" not in text
        for tag, attributes in Elements(text).found:
            assert not [key for key in attributes if key.startswith("on")], page.name
            assert not str(attributes.get("src") or "data:").startswith(("x", "http")), page.name
            assert tag != "script" or attributes.get("type", "") in ("", "application/json")
    assert not list(run.folder.rglob("trace*"))
    assert not (run.folder / "called").exists()
