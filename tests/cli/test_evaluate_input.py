"""``haca3 evaluate``: input that would be misread, and options without an effect, are refused or told."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from derivatives import SHAPE, ball, describe, name, save, write_table

from haca3_bids.cli import toolbox
from haca3_bids.cli.evaluate.inputs import read_table
from haca3_bids.evaluation.methods import paired_p

DESCS = ("preproc", "haca3siteB")


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three people with a T1w at sites A and B, ages and sites, masks, and a table of volumes by two methods."""
    root, rng = tmp_path_factory.mktemp("input"), np.random.default_rng(0)
    describe(root / "out")
    for person in range(3):
        for site in "AB":
            save(ball(5), name(root / "masks", person, site, "desc-brain_mask"))
            save(np.zeros(SHAPE), name(root / "empty", person, site, "desc-brain_mask"))
            for desc in DESCS:
                path = name(root / "out", person, site, f"desc-{desc}_T1w")
                save((rng.choice([300.0, 650.0, 1000.0], SHAPE) + rng.normal(0, 20, SHAPE)) * ball(8), path)
            sidecar = path.with_name(path.name.replace(".nii.gz", ".json"))
            sidecar.write_text(json.dumps({"Target": {"Origin": "image sub-0_ses-B_T1w.nii.gz"}}))
    who = [{"participant_id": f"sub-{p}", "session_id": f"ses-{s}"} for p in range(3) for s in "AB"]
    about = [{"site": one["session_id"][-1], "age": 40 + place} for place, one in enumerate(who)]
    write_table(root / "all_sessions.tsv", [one | own for one, own in zip(who, about, strict=True)])
    rows = [
        one | own | {"method": m, "GM": 600 + rng.normal()} for m in DESCS for one, own in zip(who, about, strict=True)
    ]
    write_table(root / "volumes.tsv", rows)
    return root


def said(capsys: pytest.CaptureFixture[str], code: int, *words: object) -> str:
    assert toolbox.main(["evaluate", *map(str, words)]) == code
    printed = capsys.readouterr()
    return printed.err if code else printed.out


@pytest.mark.parametrize(
    ("words", "code", "sentence"),
    [
        ("longitudinal volumes.tsv --value GM", 65, "has several methods"),
        ("longitudinal volumes.tsv --value GM --method method --people x", 64, "--people has no effect here"),
        ("longitudinal volumes.tsv --value GM --method method --anatomy-maps", 64, "--anatomy-maps has no effect here"),
        ("longitudinal out --value GM --people all_sessions.tsv", 64, "--value has no effect here"),
        ("site out --value GM --people all_sessions.tsv", 64, "--value has no effect here"),
        ("site volumes.tsv --value GM --after haca3siteB", 64, "--after has no effect here"),
        ("travelling out --contrast T1w FLAIR", 65, "has no FLAIR images"),
        ("travelling out --after preproc", 64, "--before and --after are both preproc"),
        ("travelling out --brain empty", 65, "The brain mask of sub-0_ses-B is empty"),
        ("site out --people all_sessions.tsv --brain empty", 65, "is empty"),
    ],
)
def test_what_would_be_misread_is_a_sentence(words, code, sentence, root, capsys, monkeypatch) -> None:
    monkeypatch.chdir(root)
    assert sentence in said(capsys, code, *words.split())


def test_a_table_may_be_called_like_the_sessions_of_a_dataset(root, capsys, monkeypatch) -> None:
    monkeypatch.chdir(root)
    words = "site out --people all_sessions.tsv --brain masks --seeds 1 --permutations 0"
    assert "preproc" in said(capsys, 0, *words.split())


def test_cells_beyond_the_last_column_are_ignored(root, capsys, tmp_path) -> None:
    first, *rows = (root / "volumes.tsv").read_text().splitlines()
    (tmp_path / "volumes.tsv").write_text("\n".join([first, *(f"{row}\t" for row in rows)]) + "\n")
    words = ("longitudinal", tmp_path / "volumes.tsv", "--value", "GM", "--method", "method", "--draws", 20)
    assert "haca3siteB" in said(capsys, 0, *words)


@pytest.mark.parametrize(
    "content",
    [
        b"participant_id\tsite\tage\rsub-1\tA\t30\rsub-2\tB\t40\r",
        b'participant_id\tsite\tage\nsub-1\t"A\t30\n\nsub-2\t"B"\t"40"\n',
        "participant_id\tsite\tage\r\nsub-1\tA\t30\r\nsub-2\tB\t40".encode("utf-16"),
        b"participant_id\tsite\tage\tcity\nsub-1\tA\t30\tZ\xfcrich\nsub-2\tB\t40\n",
    ],
)
def test_tables_are_read_as_they_are_found(content, tmp_path) -> None:
    """With an unpaired quotation mark, rows were swallowed; other encodings were refused."""
    (tmp_path / "table.tsv").write_bytes(content)
    lines = read_table(tmp_path / "table.tsv", ("participant_id", "site", "age"))
    assert [(line["participant_id"], line["site"], line["age"]) for line in lines] == [
        ("sub-1", "A", "30"),
        ("sub-2", "B", "40"),
    ]


ROWS = [f"sub-{person}\t{site}\t{person}{visit}\t6" for person in range(3) for visit, site in ((1, "A"), (2, "B"))]
TABLE = "\n".join(["participant_id\tsite\tage\tGM", *ROWS])


@pytest.mark.parametrize(
    ("cell", "instead", "sentence"),
    [
        ("sub-2\tB", "sub-2\tn/a", "sub-2 has no site in table.tsv"),
        ("\t22\t6", "\t22\tn/a", "'n/a' in column GM is not a number"),
        ("sub-2\tB", "n/a\tB", "Row 6 has no participant_id in table.tsv"),
        ("\t", ",", "with tabs between columns"),
        ("sub-2", "\0", "table.tsv is not a text file"),
    ],
)
def test_a_table_with_missing_values_or_without_tabs_is_a_sentence(cell, instead, sentence, tmp_path, capsys) -> None:
    """A missing site was taken for one more site, at which nearly all subjects lacked a value."""
    table = tmp_path / "table.tsv"
    table.write_text(TABLE.replace(cell, instead))
    assert sentence in said(capsys, 65, "reliability", table, "--value", "GM")
    if "site" not in sentence:
        assert sentence in said(capsys, 65, "longitudinal", table, "--value", "GM")


def test_images_with_another_target_are_told(root, capsys, monkeypatch, tmp_path) -> None:
    monkeypatch.chdir(root)
    words = "travelling out --brain masks --target {} --out {}"
    for person, told in (("sub-1", True), ("sub-0", False)):
        said(capsys, 0, *words.format(f"{person}_ses-B", tmp_path / person).split())
        page = (tmp_path / person / "travelling.html").read_text()
        assert ("The target of harmonized images was not" in page) == told


def test_a_session_with_two_images_of_a_contrast_is_refused(root, capsys, monkeypatch, tmp_path) -> None:
    out = describe(tmp_path / "out")
    for resolution in ("1", "2"):
        for desc in DESCS:
            save(ball(8), Path(str(name(out, 0, "A", f"desc-{desc}_T1w")).replace("res-1", f"res-{resolution}")))
    people = ("--people", root / "all_sessions.tsv")
    for words in (("travelling",), ("site", *people), ("longitudinal", *people), ("attention",)):
        assert "are images of one session" in said(capsys, 65, words[0], out, *words[1:])


def test_wilcoxon_of_tied_differences_is_that_of_scipy() -> None:
    assert paired_p(np.array([1.0, -1.0, 2.0, -2.0, 3.0])) == pytest.approx(0.6875)
    assert paired_p(np.arange(1.0, 9.0)) == pytest.approx(2 / 2**8)
