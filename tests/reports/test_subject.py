from __future__ import annotations

import base64
import hashlib
import html
import json
import re
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

from haca3_bids.reports.figures import draw_histogram
from haca3_bids.reports.pixels import save_jpeg, slice_rows
from haca3_bids.reports.subject import write_subject_page
from haca3_bids.reports.theta import TISSUE_WORDS
from haca3_bids.volumes.volume import Volume

Dataset = Callable[..., Path]
VOID = {"meta", "img", "br", "link", "input"}


class Balanced(HTMLParser):
    """Counts open elements; an element closed out of order is an error."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.addresses: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, Any]]) -> None:
        self.addresses += [value for name, value in attrs if name in {"src", "href"}]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, Any]]) -> None:
        """An element of an SVG that closes itself."""

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def words(page: Path) -> str:
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", page.read_text()))


def test_the_page_is_one_balanced_file_that_loads_nothing(dataset: Dataset) -> None:
    page = write_subject_page(dataset({}, {"session": "siteB"}), "01")
    parser = Balanced()
    parser.feed(page.read_text())
    assert not parser.open
    assert parser.addresses
    assert all(address.startswith(("data:", "#")) for address in parser.addresses)


def test_no_script_runs_but_the_one_that_the_page_vouches_for(dataset: Dataset) -> None:
    text = write_subject_page(dataset({}), "01").read_text()
    (code,) = re.findall(r"<script>(.*?)</script>", text, flags=re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(code.encode()).digest()).decode()
    assert f"script-src 'sha256-{digest}'" in html.unescape(text)
    assert "default-src 'none'" in html.unescape(text)


def test_the_page_says_what_was_found_used_and_left_out_and_why(dataset: Dataset) -> None:
    text = words(write_subject_page(dataset({}), "sub-01"))
    for said in ("sub-01_T2w.nii.gz", "finest of two runs", "sub-01_ce-gad_T1w.nii.gz", "432", "97 %", "7.3", "12.1"):
        assert said in text


def test_the_page_shows_targets_theta_eta_attention_weights_and_seconds(dataset: Dataset) -> None:
    text = words(write_subject_page(dataset({}), "01"))
    for said in ("-2.10, 0.40", "1.25, -2.50", "0.40, 0.60", "T1w 21 %", "T2w 79 %", "abababababab", "1.70 GB", "31.2"):
        assert said in text


def test_the_mixture_model_is_shown_by_its_tissues(dataset: Dataset) -> None:
    page = write_subject_page(dataset({"mixture": True}), "01")
    text = words(page)
    for said in (*TISSUE_WORDS.values(), "artifact level", "looks like", "T2w (built-in)", "reached", "mixture"):
        assert said in text
    assert "white matter 1.00 1.00 1.00 1.00" in text  # two sources, the target, what was reached
    assert re.search(r"grey matter 0\.79 \d\.\d\d 1\.50 1\.56", text)
    assert ">theta" not in page.read_text()
    assert "grey matter and cerebrospinal fluid: T1w 0.79, 0.29" in page.read_text()


def test_haca3_is_shown_by_its_two_numbers(dataset: Dataset) -> None:
    page = write_subject_page(dataset({}), "01")
    text = words(page)
    for said in ("artifact level", "looks like", "residual", "cerebrospinal fluid", "tissue"):
        assert said not in text.replace("Eta: the requested artifact level", "").replace("Tissue borders", "")
    assert "theta 1 and theta 2: T1w 1.25, -2.50" in page.read_text()


def test_a_source_that_looks_like_another_contrast_is_named_in_the_table(dataset: Dataset) -> None:
    folder = dataset({"mixture": True})
    (path,) = folder.rglob("*_qc.json")
    record = json.loads(path.read_text())
    record["harmonization"]["images"][0]["sources"]["T1w"] |= {"looks_like": "FLAIR"}
    path.write_text(json.dumps(record))
    assert "T1w 0.11 0.043 FLAIR" in words(write_subject_page(folder, "01"))


def test_everything_from_outside_is_escaped(dataset: Dataset) -> None:
    evil = "<script>alert(1)</script>"
    record = {"notes": [evil], "error": {"sentence": evil, "hint": evil}, "methods": [evil], "command": evil}
    text = write_subject_page(dataset(record), "01").read_text()
    assert text.count("<script") == 1
    assert text.count("&lt;script&gt;") >= 5
    assert "contrast agent &lt;gadolinium&gt;" in write_subject_page(dataset({"session": None}), "01").read_text()


def test_a_failed_session_says_why_beside_one_that_is_done(dataset: Dataset) -> None:
    error = {"class": "BadInput", "sentence": "The T1w is 4D.", "hint": "Leave it out.", "step": "loading"}
    failed = {"session": "siteB", "status": "failed", "error": error}
    failed |= {"preprocessing": {}, "harmonization": {}, "seconds": {}, "figures": [], "methods": []}
    text = words(write_subject_page(dataset({}, failed), "01"))
    for said in ("ses-siteB (failed)", "The T1w is 4D.", "Leave it out.", "Step: loading", "ses-siteA ✓ pass"):
        assert said in text


def test_a_record_with_next_to_nothing_still_makes_a_page(dataset: Dataset) -> None:
    bare = {"preprocessing": {}, "harmonization": {}, "images": [], "left_out": []}
    assert "sub-01" in words(write_subject_page(dataset(bare), "01"))


def test_figures_are_inside_the_page_and_a_missing_one_is_named(dataset: Dataset, head: Volume) -> None:
    figures = [
        {"kind": "histogram", "contrast": "T1w", "file": f"sub-01/figures/{name}.svg", "title": f"Histogram {name}"}
        for name in ("there", "gone")
    ]
    output_dir = dataset({"figures": figures})
    draw_histogram(head, head, 1000.0, output_dir / "sub-01/figures/there.svg")
    page = write_subject_page(output_dir, "01").read_text()
    assert page.count("data:image/svg+xml;base64,") == 1
    assert "The figure sub-01/figures/gone.svg is missing." in page


def test_what_the_input_asks_to_acknowledge_stands_on_top(dataset: Dataset) -> None:
    output_dir = dataset({})
    (output_dir / "dataset_description.json").write_text('{"HowToAcknowledge": "Simulated from the built-in head."}')
    assert "Simulated from the built-in head." in words(write_subject_page(output_dir, "01"))


def test_writing_the_page_again_gives_the_same_bytes(dataset: Dataset) -> None:
    output_dir = dataset({})
    first = write_subject_page(output_dir, "01").read_bytes()
    assert write_subject_page(output_dir, "01").read_bytes() == first
    assert not list(output_dir.glob(".*"))


def test_a_subject_is_not_taken_for_one_whose_label_begins_alike(dataset: Dataset) -> None:
    output_dir = dataset({})
    other = output_dir / "sub-011/anat"
    other.mkdir(parents=True)
    (other / "sub-011_desc-haca3_qc.json").write_text("not read")
    page = write_subject_page(output_dir, "01").read_text()
    assert "sub-011" not in page
    assert "cannot be read" not in page


def test_the_verdict_and_its_reasons_stand_on_top(dataset: Dataset) -> None:
    reason = {"measure": "noise", "grade": "look", "sentence": "T1w: noisy (noise 0.2, above 0.11)."}
    quality = {"verdict": "look", "reasons": [reason], "scans": {"T1w": {"noise": 0.2}}}
    text = words(write_subject_page(dataset({"quality": quality}), "01"))
    assert text.index("look ses-siteA") < text.index("T1w: noisy (noise 0.2, above 0.11).") < text.index("Images found")


def test_slices_of_source_and_result_share_a_slider(dataset: Dataset, head: Volume) -> None:
    figures = [
        {"kind": "slices", "target": "haca3_T2w", "role": role, "title": "T2w to site"}
        | {"file": f"sub-01/figures/{role}.jpg"}
        for role in ("source", "harmonized", "gone")
    ]
    output_dir = dataset({"figures": figures})
    for role in ("source", "harmonized"):
        save_jpeg(slice_rows(head, "grey", 1000.0), output_dir / f"sub-01/figures/{role}.jpg")
    page = write_subject_page(output_dir, "01").read_text()
    assert page.count('type="range"') == 1
    assert page.count("data:image/jpeg") == 2
    assert "The slices of gone are missing." in page


def test_the_methods_can_be_saved_from_the_page(dataset: Dataset) -> None:
    page = write_subject_page(dataset({}), "01").read_text()
    (address,) = re.findall(r'download="CITATION.bib" href="data:text/plain;base64,([^"]+)"', page)
    assert base64.b64decode(address).startswith(b"@article{haca3")


def test_every_image_has_words_and_every_table_heads(dataset: Dataset) -> None:
    page = write_subject_page(dataset({}), "01").read_text()
    assert not re.findall(r"<img(?![^>]*alt=\"[^\"]+\")", page)
    assert page.count("<table>") == page.count("<thead>")


def test_what_was_odd_about_a_scan_stands_on_the_page(dataset: Dataset) -> None:
    odd = {"remarks": ["sub-01_T1w.nii.gz says <nothing>."], "orientation_assumed": True}
    contrasts = {"T1w": odd, "T2w": {"white_matter_peak": 1000.0}}
    page = write_subject_page(dataset({"preprocessing": {"reference": "T1w", "contrasts": contrasts}}), "01")
    assert "says &lt;nothing&gt;." in page.read_text()
    assert "T1w: left and right may be exchanged" in words(page)
    assert "T2w: left and right" not in words(page)
