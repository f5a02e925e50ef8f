from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from haca3_bids import __version__

pytestmark = [pytest.mark.container, pytest.mark.slow]

LARGEST_GB = 2.5  # of the CPU variant
HARD = ("--network", "none", "--read-only", "--tmpfs", "/tmp", "--user", "12345:12345")
Engine = Callable[..., object]


def test_the_image_is_small_enough(engine, image: str) -> None:
    size = int(engine("image", "inspect", "--format", "{{.Size}}", image).stdout)
    assert size < LARGEST_GB * 1e9


def test_the_entrypoint_answers_as_a_stranger_without_network_on_a_read_only_root(engine, image: str) -> None:
    assert engine("run", "--rm", *HARD, image, "--version").stdout == f"haca3-bids {__version__}\n"


def test_both_commands_and_bash_are_there_when_the_entrypoint_is_bypassed(engine, image: str) -> None:
    said = engine(
        "run", "--rm", *HARD, "--entrypoint", "/bin/bash", image, "-lc", "haca3-bids --version; haca3 --help"
    ).stdout
    assert said.startswith(f"haca3-bids {__version__}\nusage: haca3 ")


def test_the_descriptor_is_inside(engine, image: str) -> None:
    said = engine("run", "--rm", *HARD, image, "--bids-exec-spec").stdout
    assert json.loads(said)["name"] == "haca3-bids"


def test_licence_notice_and_the_list_of_packages_are_inside(engine, image: str) -> None:
    said = engine("run", "--rm", *HARD, "--entrypoint", "/bin/ls", image, "/opt/haca3").stdout.split()
    assert {"LICENSE", "NOTICE", "CITATION.cff", "packages.txt", "packages-debian.txt"} <= set(said)


def test_nothing_of_the_build_host_is_in_the_image(engine, image: str) -> None:
    names = r"find / -xdev \( -name host-ca.crt -o -name pip.conf -o -path '/src*' \) -size +0"
    words = "grep -rlF the-host-was-here --exclude-dir={proc,sys,dev} /"
    said = engine("run", "--rm", "--entrypoint", "/bin/bash", image, "-c", f"{names}; {words}; true").stdout
    assert said == ""
    assert "the-host-was-here" not in engine("history", "--no-trunc", image).stdout


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (("/data", "/out", "participant"), 16),
        (("/data", "/out", "nonsense"), 17),
        (("/data", "/out", "participant", "--no-such-option"), 64),
    ],
)
def test_exit_codes_come_through(engine, image: str, tmp_path: Path, words: tuple[str, ...], code: int) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "out").mkdir(mode=0o777)
    (tmp_path / "out").chmod(0o777)
    mounts = ("-v", f"{tmp_path}/data:/data:ro", "-v", f"{tmp_path}/out:/out")
    assert engine("run", "--rm", *HARD, *mounts, image, *words, check=False).returncode == code
