from __future__ import annotations

import gzip
import os
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
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


class Cache:
    """TemplateFlow with a folder of files; ``get`` downloads those that are empty."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.downloads = folder, 0
        self.content = gzip.compress(np.random.default_rng(0).bytes(5000))

    def ls(self, name: str, resolution: int, **query: str | None) -> list[Path]:
        path = self.folder / f"tpl-{name}_{'_'.join(sorted(map(str, query.values())))}.nii.gz"
        path.touch()
        return [path]

    def get(self, name: str, resolution: int, raise_empty: bool, **query: str | None) -> Path:
        (path,) = self.ls(name, resolution, **query)
        if not path.stat().st_size:
            self.downloads += 1
            with path.open("wb") as file:
                for start in range(0, len(self.content), 2000):
                    file.write(self.content[start : start + 2000])
                    file.flush()
                    time.sleep(0.1)
        return path


@pytest.fixture
def cache(tmp_path, monkeypatch) -> Cache:
    found = Cache(tmp_path)
    monkeypatch.setattr("haca3_bids.preprocessing.template._client", lambda: found)
    return found


def test_files_in_the_cache_are_found_and_told_apart(cache) -> None:
    assert len(set(check_template(DEFAULT).values())) == len(FILES)
    assert cache.downloads == len(FILES)
    check_template(DEFAULT)
    assert cache.downloads == len(FILES)


def test_a_filled_cache_is_left_as_it_is(cache) -> None:
    for query in FILES.values():
        cache.ls(DEFAULT, 1, **query)[0].write_bytes(cache.content)
    before = set(cache.folder.iterdir())
    check_template(DEFAULT)
    assert set(cache.folder.iterdir()) == before


@pytest.mark.parametrize("kept", [1500, -1], ids=["half", "all but its checksum's last byte"])
def test_a_file_whose_download_was_interrupted_is_named(cache, kept) -> None:
    damaged = check_template(DEFAULT)["white"]
    damaged.write_bytes(cache.content[:kept])
    with pytest.raises(Unavailable, match=r"WM_probseg\.nii\.gz of the template .* is not complete") as caught:
        check_template(DEFAULT)
    assert f"(: > {damaged})" in caught.value.hint
    damaged.write_bytes(b"")
    assert check_template(DEFAULT)["white"] == damaged


def test_one_process_downloads_while_the_others_wait(cache) -> None:
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda _: check_template(DEFAULT), range(4)))
    assert all(one == found[0] for one in found)
    assert cache.downloads == len(FILES)


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
