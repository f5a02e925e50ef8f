"""Pages in a browser without a network, 1200 and 400 pixels wide: nothing missing, nothing broken, nothing too wide."""

from __future__ import annotations

import html
import json
import os
import re
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from mixture_records import as_mixture
from PIL import Image
from simulated_cohort import record, write_cohort, write_record

from haca3_bids.records.findings import Column, Drawing, Findings, Table
from haca3_bids.reports.charts import dots, panels, slices, svg
from haca3_bids.reports.cohort import read_cohort
from haca3_bids.reports.figures import draw_histogram
from haca3_bids.reports.findings import findings_page
from haca3_bids.reports.flicker import draw_flicker
from haca3_bids.reports.group import group_page
from haca3_bids.reports.pixels import save_jpeg, slice_rows
from haca3_bids.reports.subject import write_subject_page
from haca3_bids.volumes.volume import Volume

BROWSER = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
OPTIONS = (
    "--headless=new --no-sandbox --disable-gpu --disable-dev-shm-usage --hide-scrollbars --enable-logging=stderr "
    "--disable-background-networking --no-first-run --proxy-server=127.0.0.1:9 --allow-file-access-from-files"
)
WIDTHS = (1200, 400)
ALL = ("T1w", "T2w", "PDw", "FLAIR")
PROBE = """<script>addEventListener("load", () => setTimeout(() => {
  const pictures = [...document.images];
  parent.postMessage({page: PAGE, width: innerWidth, wide: document.documentElement.scrollWidth,
    pictures: pictures.length, missing: pictures.filter((one) => !one.complete || !one.naturalWidth).length,
    silent: pictures.filter((one) => !one.alt).length}, "*"); }, 200));</script>"""
GATHER = """<script>const found = []; addEventListener("message", (event) => { found.push(event.data);
  document.body.dataset.found = JSON.stringify(found); });</script>"""

pytestmark = pytest.mark.skipif(BROWSER is None, reason="needs Chromium (apt-get install chromium)")


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """One page of each kind that a layout could break on."""
    root = tmp_path_factory.mktemp("pages")
    rng = np.random.default_rng(0)
    made = {
        "one contrast": (root / "one", [record("01", "", ("T1w",), 0, rng)]),
        "four contrasts": (root / "four", [record("01", "1", ALL, 1, rng)]),
        "mixture model": (root / "mixture", [as_mixture(record("01", "1", ALL, 1, rng))]),
        "six sessions": (root / "six", [record("01", str(n), ("T1w", "T2w"), n % 4, rng) for n in range(1, 7)]),
        "failed": (root / "failed", [record("01", "1", ("T1w",), 0, rng), failed(rng)]),
        "odd names": (root / "odd", [odd(rng)]),
    }
    found = {}
    for name, (folder, records) in made.items():
        for content in records:
            content["figures"] = figures(folder, content)
            write_record(folder, content)
        found[name] = write_subject_page(folder, "01")
    write_cohort(root / "group", root / "raw", 60, people=30)
    found["group"] = root / "group/group.html"
    found["group"].write_text(group_page(read_cohort(root / "group", root / "raw"), root / "group"))
    found["experiment"] = root / "experiment.html"
    found["experiment"].write_text(findings_page("experiment", findings(), "haca3 evaluate " + "z" * 300))
    return found


def findings() -> Findings:
    """A wide table, a long one, and both kinds of figures."""
    columns = [Column(f"an_extraordinarily_long_name_of_a_column_{n}", "Number " * 20, "mL") for n in range(12)]
    rows = [{column.name: 123.456 for column in columns} for _ in range(60)]
    figure, (axes,) = panels(["T1w"], "PSNR (dB)")
    dots(axes, {f"method {n}": [1.0 * n, 2.0] for n in range(9)})
    ball = Volume(np.ones((40, 40, 40), np.float32), np.eye(4))
    pictures = [svg(slices({f"image {n}": ball for n in range(count)})) for count in (1, 3, 7, 12)]
    drawings = [Drawing("dots", svg(figure)), *(Drawing("slices", picture) for picture in pictures)]
    return Findings("One sentence.", {"experiment": Table(columns, rows[:3]), "all": Table(columns, rows)}, drawings)


def failed(rng: np.random.Generator) -> dict[str, Any]:
    error = {
        "class": "BadInput",
        "sentence": "The T1w is 4D (240 volumes).",
        "hint": "Leave it out.",
        "step": "reading",
    }
    reason = {"measure": "error", "grade": "fail", "sentence": error["sentence"]}
    content = record("01", "2", ("T1w",), 0, rng) | {"status": "failed", "error": error}
    return content | {"preprocessing": {}, "harmonization": {}, "quality": {"verdict": "fail", "reasons": [reason]}}


def odd(rng: np.random.Generator) -> dict[str, Any]:
    content = record("01", "1", ("T1w",), 0, rng)
    long = "sub-01_acq-" + "x" * 180 + "_T1w.nii.gz"
    content["images"] = [{"contrast": "T1w", "path": long, "reason": "größer & <b>feiner</b> \"than\" '日本語'"}]
    content["notes"] = ["</script><script>document.title = 'broken'</script>"]
    content["harmonization"]["images"][0]["target"]["name"] = "AnExtraordinarilyLongTargetNameOfASiteFarAway"
    content["command"] = "haca3-bids " + "y" * 300
    return content


def figures(folder: Path, content: Mapping[str, Any]) -> list[dict[str, str]]:
    """Drawn figures of a session, from a ball."""
    grid = np.stack(np.meshgrid(*[np.arange(-70.0, 71, 5)] * 3, indexing="ij"))
    affine = np.diag([5.0, 5, 5, 1])
    affine[:3, 3] = -70
    ball = Volume(np.where((grid**2).sum(axis=0) < 60**2, 1000 + 5 * grid[0], 0).astype(np.float32), affine)
    stem = f"sub-01/figures/{content['session'] or 'only'}"
    listed = [{"kind": "registration", "contrast": "T1w", "title": "Registration", "file": f"{stem}_registration.svg"}]
    draw_flicker(ball, ball, ("template", "T1w"), folder / listed[0]["file"], (1300.0, 1300.0))
    listed.append({"kind": "histogram", "contrast": "T1w", "title": "White matter", "file": f"{stem}_histogram.svg"})
    draw_histogram(ball, ball, 1000.0, folder / listed[1]["file"])
    for image in (content.get("harmonization") or {}).get("images", ()):
        contrast = image["target"]["contrast"]
        for role, painter in (("source", "grey"), ("harmonized", "grey"), ("difference", "difference")):
            file = f"{stem}_{contrast}_{role}.jpg"
            save_jpeg(slice_rows(ball, painter, 1000.0), folder / file)
            title = f"{contrast} to the built-in reference"
            listed.append(
                {"kind": "slices", "role": role, "contrast": contrast, "target": contrast}
                | {"file": file, "title": title}
            )
    return listed


def browse(page: Path, *options: str) -> subprocess.CompletedProcess[str]:
    """Open a page where there is no network: in a namespace of its own if we may, else behind a dead proxy."""
    alone = ["unshare", "-n"] if os.geteuid() == 0 and shutil.which("unshare") else []
    if alone and subprocess.run([*alone, "true"], capture_output=True).returncode != 0:
        alone = []
    profile = f"--user-data-dir={page.parent / 'profile'}"
    command = [*alone, str(BROWSER), *OPTIONS.split(), profile, "--virtual-time-budget=8000", *options, page.as_uri()]
    return subprocess.run(command, capture_output=True, text=True, check=True)


def framed(pages: Mapping[str, Path], head: str) -> str:
    frames = [
        f'<iframe src="{path.as_uri()}" width="{width}" height="900" style="border:0"></iframe>'
        for path in pages.values()
        for width in WIDTHS
    ]
    return f"<!doctype html><meta charset=utf-8><body>{head}{''.join(frames)}</body>"


def test_no_picture_is_missing_and_nothing_is_wider_than_the_page(pages: dict[str, Path], tmp_path: Path) -> None:
    probes = {}
    for number, (name, path) in enumerate(pages.items()):
        text = re.sub(r'<meta http-equiv="Content-Security-Policy"[^>]*>', "", path.read_text())
        probes[name] = tmp_path / f"{number}.html"
        probes[name].write_text(text.replace("</body>", PROBE.replace("PAGE", json.dumps(name)) + "</body>"))
    (tmp_path / "all.html").write_text(framed(probes, GATHER))
    told = browse(tmp_path / "all.html", "--dump-dom").stdout
    found = json.loads(html.unescape(re.findall(r'data-found="([^"]*)"', told)[0]))
    assert {(one["page"], one["width"]) for one in found} == {(name, width) for name in pages for width in WIDTHS}
    assert not [one for one in found if one["missing"] or one["silent"]]
    assert not [one for one in found if one["wide"] > one["width"] + 1]
    assert all(one["pictures"] >= 5 for one in found if one["page"] != "group")


def test_scripts_run_without_an_error_and_pages_can_be_seen(pages: dict[str, Path], tmp_path: Path) -> None:
    (tmp_path / "all.html").write_text(framed(pages, ""))
    picture = tmp_path / "all.png"
    told = browse(tmp_path / "all.html", f"--screenshot={picture}", "--window-size=1640,6510").stderr
    assert not [line for line in told.splitlines() if "CONSOLE" in line and "file:" in line]
    pixels = np.asarray(Image.open(picture).convert("L"), float)
    assert pixels.shape == (6510, 1640)
    for top in range(0, 6310, 910):  # each row of frames holds one page at both widths
        assert pixels[top : top + 880, :1200].std() > 5
        assert pixels[top : top + 880, 1210:1600].std() > 5


def test_the_table_of_all_sessions_is_drawn_by_its_script(pages: dict[str, Path]) -> None:
    told = browse(pages["group"], "--dump-dom").stdout
    assert "60 of 60 sessions" in told
    assert told.count("<tr>") >= 61
    assert 'data-ready="' in told


def test_a_script_that_the_page_does_not_vouch_for_is_stopped_and_heard_of(
    pages: dict[str, Path], tmp_path: Path
) -> None:
    text = pages["one contrast"].read_text().replace("</body>", "<script>document.title = 'taken'</script></body>")
    (tmp_path / "taken.html").write_text(text)
    told = browse(tmp_path / "taken.html", "--dump-dom")
    assert "<title>taken" not in told.stdout
    assert [line for line in told.stderr.splitlines() if "CONSOLE" in line and "file:" in line]
