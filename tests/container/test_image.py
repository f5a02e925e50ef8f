from __future__ import annotations

import json
from pathlib import Path

import pytest
from docker_engine import HARD, Engine
from host_traces import found_in_layers, traces

from haca3_bids import __version__

pytestmark = [pytest.mark.container, pytest.mark.slow]

LARGEST_GB = 2.5  # of the CPU variant


def test_the_image_is_small_enough(engine: Engine, image: str) -> None:
    size = int(engine("image", "inspect", "--format", "{{.Size}}", image).stdout)
    assert size < LARGEST_GB * 1e9


def test_the_entrypoint_answers_as_a_stranger_without_network_on_a_read_only_root(engine: Engine, image: str) -> None:
    assert engine("run", "--rm", *HARD, image, "--version").stdout == f"haca3-bids {__version__}\n"


def test_both_commands_and_bash_are_there_when_the_entrypoint_is_bypassed(engine: Engine, image: str) -> None:
    words = ("--entrypoint", "/bin/bash", image, "-lc", "haca3-bids --version; haca3 --help")
    assert engine("run", "--rm", *HARD, *words).stdout.startswith(f"haca3-bids {__version__}\nusage: haca3 ")


def test_the_descriptor_is_inside(engine: Engine, image: str) -> None:
    said = engine("run", "--rm", *HARD, image, "--bids-exec-spec").stdout
    assert json.loads(said)["name"] == "haca3-bids"


def test_licence_notice_and_the_list_of_packages_are_inside(engine: Engine, image: str) -> None:
    lists = "cat /opt/haca3/packages.txt /opt/haca3/packages-debian.txt; ls /opt/haca3; cat /opt/haca3/NOTICE"
    said = engine("run", "--rm", *HARD, "--entrypoint", "/bin/bash", image, "-c", lists).stdout
    lines = said.splitlines()
    assert {"LICENSE", "NOTICE", "CITATION.cff"} <= set(lines)
    assert f"haca3_bids=={__version__}" in lines
    assert any(line.startswith("torch==") for line in lines)
    assert any(line.startswith("libc6") for line in lines)
    assert "McConnell Brain Imaging Centre" in said  # the notice of the templates


def test_the_labels_say_title_version_and_licence(engine: Engine, image: str) -> None:
    labels = json.loads(engine("image", "inspect", "--format", "{{json .Config.Labels}}", image).stdout)
    said = {name.removeprefix("org.opencontainers.image."): value for name, value in labels.items()}
    assert said["title"] == "haca3_bids"
    assert said["version"] == __version__
    assert said["licenses"] == "Apache-2.0"
    assert {"revision", "created", "documentation", "base.name"} <= set(said)


def test_nothing_of_the_build_host_is_in_any_layer(engine: Engine, image: str, shelf: Path) -> None:
    texts = traces()
    assert found_in_layers(engine.command("save", image), [*texts, "haca3_bids: a BIDS App"], shelf) == [
        "haca3_bids: a BIDS App"
    ]


def test_no_file_of_the_build_is_left(engine: Engine, image: str) -> None:
    names = r"find / -xdev \( -name host-ca.crt -o -name pip.conf -o -path '/src*' -o -path '/package*' \)"
    said = engine("run", "--rm", "--entrypoint", "/bin/bash", image, "-c", f"{names} -size +0").stdout
    assert said == ""
