from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from haca3_bids.errors import Unavailable
from haca3_bids.preprocessing.template import (
    BUILTIN,
    DEFAULT,
    FILES,
    Template,
    _ensure_home,
    check_template,
    load_template,
)
from haca3_bids.volumes.volume import Volume

CHECK = "from haca3_bids.preprocessing.template import check_template; check_template('MNI152NLin2009cSym')"


@pytest.fixture(scope="module")
def builtin():
    return load_template(BUILTIN)


def test_the_builtin_template_is_a_brain_with_its_white_matter_on_one_grid(builtin) -> None:
    assert builtin.space == "MNI152NLin2009aSym"
    assert builtin.head.shape == (197, 233, 189)
    assert builtin.brain.has_grid_of(builtin.head)
    assert builtin.white_matter.has_grid_of(builtin.head)
    assert not builtin.has_skull
    assert 1.6e6 < builtin.brain.data.sum() < 2.1e6
    assert (builtin.brain.data > 0.5)[builtin.white_matter.data > 0.9].mean() > 0.99
    assert builtin.white_matter.data.max() <= 1


@pytest.mark.parametrize("rim_mm", [0, 3])
def test_without_its_skull_a_template_keeps_the_brain_and_a_rim_about_it(rim_mm) -> None:
    brain = np.zeros((40, 40, 40), np.float32)
    brain[15:25, 15:25, 15:25] = 1
    head = Volume(np.ones_like(brain), np.eye(4))
    bare = Template("", "", head, head.with_data(brain), head.with_data(brain), has_skull=True)
    bare = bare.without_skull(rim_mm)
    assert not bare.has_skull
    line = bare.head.data[:, 20, 20]
    assert line[15 - rim_mm : 25 + rim_mm].all()
    assert line.sum() == 10 + 2 * rim_mm


def test_the_builtin_template_needs_no_files() -> None:
    assert check_template(BUILTIN) == {}


def test_an_unknown_template_is_unavailable() -> None:
    with pytest.raises(Unavailable, match="no template 'colin27'"):
        check_template("colin27")


@pytest.mark.parametrize("stub", [True, False], ids=["empty stub", "nothing cached"])
def test_without_cache_and_network_one_sentence_names_the_way_out(tmp_path, monkeypatch, stub) -> None:
    class Client:
        @staticmethod
        def get(name: str, **query: object) -> Path:
            if not stub:
                raise ConnectionError("no route to host")
            path = tmp_path / f"tpl-{name}_res-1_T1w.nii.gz"
            path.touch()
            return path

    monkeypatch.setattr("haca3_bids.preprocessing.template._client", lambda: Client)
    with pytest.raises(Unavailable, match="head image of the template MNI152NLin2009cSym") as caught:
        check_template(DEFAULT)
    assert "--template builtin" in caught.value.hint
    assert ("empty file" if stub else "no route to host") in caught.value.sentence
    assert caught.value.exit_code == 69


def test_files_in_the_cache_are_found_and_told_apart(tmp_path, monkeypatch) -> None:
    class Client:
        @staticmethod
        def get(name: str, resolution: int, raise_empty: bool, **query: str | None) -> Path:
            path = tmp_path / f"tpl-{name}_{'_'.join(sorted(map(str, query.values())))}.nii.gz"
            path.write_bytes(np.random.default_rng(0).bytes(2000))
            return path

    monkeypatch.setattr("haca3_bids.preprocessing.template._client", lambda: Client)
    assert len(set(check_template(DEFAULT).values())) == len(FILES)


@pytest.mark.slow
def test_no_home_at_all_is_still_one_sentence(tmp_path) -> None:
    environment = {"PATH": "/usr/bin:/bin", "HOME": "/nonexistent", "TMPDIR": str(tmp_path), "no_proxy": "*"}
    environment |= {
        "TEMPLATEFLOW_AUTOUPDATE": "0",
        "https_proxy": "http://127.0.0.1:9",
        "http_proxy": "http://127.0.0.1:9",
    }
    environment["no_proxy"] = ""
    done = subprocess.run([sys.executable, "-c", CHECK], env=environment, capture_output=True, text=True)
    assert "Unavailable" in done.stderr
    assert "--template builtin" in done.stderr.splitlines()[-1]


def test_a_home_that_cannot_be_written_to_is_replaced(tmp_path, monkeypatch) -> None:
    monkeypatch.delenv("TEMPLATEFLOW_HOME", raising=False)
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setenv("HOME", "/proc/nowhere")
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    _ensure_home()

    assert os.environ["TEMPLATEFLOW_HOME"].startswith(str(tmp_path))
