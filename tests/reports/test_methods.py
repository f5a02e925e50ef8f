from __future__ import annotations

import re
from pathlib import Path

import pytest

from haca3_bids.reports.methods import REFERENCES, methods_bibtex, methods_html, methods_markdown, write_methods
from haca3_bids.settings import Settings

SENTENCES = ("Bias was corrected with N4 [@n4] <once>.", "Contrast was harmonized [@haca3] after N4 [@n4].")


def test_works_are_numbered_by_first_mention_and_listed_once() -> None:
    text = methods_markdown(SENTENCES)
    assert "with N4 [1] <once>. Contrast was harmonized [2] after N4 [1]." in text
    assert re.findall(r"^(\d)\. (\w\. \w+)", text, flags=re.MULTILINE) == [("1", "N. J"), ("2", "L. Zuo")]


def test_html_is_escaped() -> None:
    assert "&lt;once&gt;" in methods_html(SENTENCES)
    assert "<once>" not in methods_html(SENTENCES)


def test_bibtex_holds_what_is_cited_and_no_more() -> None:
    assert re.findall(r"@article{(\w+),", methods_bibtex(SENTENCES)) == ["n4", "haca3"]


@pytest.mark.parametrize("reference", REFERENCES.values(), ids=REFERENCES.keys())
def test_every_entry_is_balanced_bibtex_with_several_authors_joined_by_and(reference) -> None:
    entry = reference.in_bibtex()
    assert entry.count("{") == entry.count("}")
    assert (" and " in entry) == (", " in reference.authors)
    assert "et al" not in entry


def test_an_unknown_citation_is_an_error_of_ours() -> None:
    with pytest.raises(KeyError, match="nobody"):
        methods_markdown(["As shown [@nobody]."])


def test_three_files_are_written(tmp_path: Path) -> None:
    write_methods(tmp_path / "logs", SENTENCES)
    names = sorted(path.name for path in (tmp_path / "logs").iterdir())
    assert names == ["CITATION.bib", "CITATION.html", "CITATION.md"]


def test_the_sentences_of_every_step_cite_works_that_are_listed() -> None:
    from haca3_bids.workflows.participant import methods

    assert "[1]" in methods_markdown(methods(Settings(Path("in"), Path("out"))))
