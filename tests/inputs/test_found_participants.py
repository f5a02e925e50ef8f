"""Tables of participants as spreadsheets and people leave them."""

from __future__ import annotations

import re
import time
from pathlib import Path

import pytest
from simulated_cohort import write_cohort

from haca3_bids.bids.participants import read_participants
from haca3_bids.reports.cohort import chosen_column, cohort_notes, group_columns, read_cohort
from haca3_bids.reports.group import group_page

KNOWN = ("sub-01", "sub-02")
GOOD = {"sub-01": {"site": "A", "age": "30"}, "sub-02": {"site": "Zürich", "age": "40"}}
PLAIN = "participant_id\tsite\tage\nsub-01\tA\t30\nsub-02\tZürich\t40\n"
CLEAR: dict[str, bytes] = {
    "as BIDS wants it": PLAIN.encode(),
    "labels without sub-": PLAIN.replace("sub-", "").encode(),
    "CRLF": PLAIN.replace("\n", "\r\n").encode(),
    "CR": PLAIN.replace("\n", "\r").encode(),
    "byte-order mark": PLAIN.encode("utf-8-sig"),
    "UTF-16": PLAIN.encode("utf-16"),
    "Latin-1": PLAIN.encode("latin-1"),
    "blanks": PLAIN.replace("\t", " \t ").replace("\n", " \n\n").encode(),
    "quotation marks": PLAIN.replace("A", '"A"').encode(),
    "another case": PLAIN.replace("participant_id", "Participant_ID").replace("sub-", "SUB-").encode(),
    "empty columns at the end": PLAIN.replace("\n", "\t\t\n").encode(),
    "another order": b"age\tsite\tparticipant_id\n40\tZ\xc3\xbcrich\tsub-02\n30\tA\tsub-01\n",
    "the same row twice": (PLAIN + "sub-01\tA\t30\n").encode(),
    "no line break at the end": PLAIN.strip().encode(),
}
ODD: dict[str, tuple[str, dict[str, dict[str, str]], str]] = {
    "commas": (PLAIN.replace("\t", ","), GOOD, "commas between its columns"),
    "semicolons": (PLAIN.replace("\t", ";"), GOOD, "semicolons between its columns"),
    "quoted commas": ('participant_id,site\nsub-01,"A, B"\nsub-02,C\n', {"sub-01": {"site": "A, B"}}, "commas"),
    "no zeros": (PLAIN.replace("sub-0", ""), GOOD, "missing zeros were added: sub-1 for sub-01"),
    "two sites": (PLAIN + "sub-01\tB\t30\n", {"sub-01": {"age": "30"}}, "more than one row"),
    "no participant_id": (PLAIN.replace("participant_id", "name"), {}, "no column participant_id"),
    "empty": ("", {}, "no column participant_id"),
    "only blanks between": (PLAIN.replace("\t", "  "), {}, "no column participant_id"),
    "a cell too many": (PLAIN + "sub-03\tA\t1\t2\n", GOOD, "that are invalid and not used: line 4"),
    "no label": (PLAIN + "a/b\tA\t1\n", GOOD, "that are invalid"),
    "a row too short": (PLAIN.replace("A\t30", "A"), {"sub-01": {"site": "A"}}, ""),
    "n/a": (PLAIN.replace("A", "n/a"), {"sub-01": {"age": "30"}}, ""),
    "somebody lacking": (PLAIN.replace("sub-02", "sub-07"), {"sub-01": GOOD["sub-01"]}, "no row for sub-02"),
}


@pytest.mark.parametrize("kind", CLEAR)
def test_what_is_clear_is_accepted_in_silence(kind: str, tmp_path: Path) -> None:
    (tmp_path / "participants.tsv").write_bytes(CLEAR[kind])
    read = read_participants(tmp_path / "participants.tsv", KNOWN)
    assert read.rows == GOOD
    assert read.warnings == ()


@pytest.mark.parametrize("kind", ODD)
def test_what_is_odd_is_named(kind: str, tmp_path: Path) -> None:
    text, rows, words = ODD[kind]
    (tmp_path / "participants.tsv").write_text(text, encoding="utf-8")
    read = read_participants(tmp_path / "participants.tsv", KNOWN)
    assert {name: read.rows.get(name) for name in rows} == rows
    assert words in " ".join(read.warnings)
    assert bool(words) == bool(read.warnings)


def test_zeros_are_not_added_where_two_can_be_meant(tmp_path: Path) -> None:
    (tmp_path / "participants.tsv").write_text("participant_id\tsite\n1\tA\n2\tB\n02\tC\n")
    read = read_participants(tmp_path / "participants.tsv", ("sub-01", "sub-001", "sub-02"))
    assert set(read.rows) == {"sub-1", "sub-2", "sub-02"}


def test_no_file_is_nothing_odd_and_a_dangling_link_is(tmp_path: Path) -> None:
    assert read_participants(tmp_path / "participants.tsv", KNOWN).warnings == ()
    (tmp_path / "participants.tsv").symlink_to("/nowhere")
    assert "cannot be read" in read_participants(tmp_path / "participants.tsv", KNOWN).warnings[0]


def test_the_group_page_says_how_many_sessions_have_no_site(tmp_path: Path) -> None:
    out, raw = tmp_path / "out", tmp_path / "raw"
    write_cohort(out, raw, 12, people=12)
    table = raw / "participants.tsv"
    lines = table.read_text().splitlines()
    table.write_text("\r\n".join([lines[0].replace("site", "Site"), *lines[1:-2]]).replace("sub-", ""))
    members = read_cohort(out, raw)
    column = chosen_column(group_columns(members), "")
    assert column == "Site"
    notes = cohort_notes(members, raw)
    assert "2 of 12 sessions have no Site." in notes
    page = group_page(members, out, "", notes)
    assert "2 of 12 sessions have no Site." in re.sub(r"\s+", " ", page)
    table.unlink()
    assert cohort_notes(read_cohort(out, raw), raw) == ["12 of 12 sessions have no site."]


def test_thousands_of_participants_are_read_at_once(tmp_path: Path) -> None:
    """Without leading zeros, each row is matched with the participants: a loop in a loop would take several seconds."""
    known = [f"sub-{number:04d}" for number in range(5000)]
    rows = "".join(f"sub-{number}\tF\n" for number in range(5000))
    (tmp_path / "participants.tsv").write_text(f"participant_id\tsex\n{rows}")
    begun = time.process_time()
    read = read_participants(tmp_path / "participants.tsv", known)
    assert time.process_time() - begun < 2.0
    assert set(read.rows) == set(known)
