from __future__ import annotations

import csv
import dataclasses
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from mixture_records import TABLES, as_mixture
from simulated_cohort import record, write_cohort, write_record

from haca3_bids.physics.tissues import TISSUES
from haca3_bids.records.files import from_values, to_json
from haca3_bids.records.findings import to_tsv
from haca3_bids.records.session import SessionRecord
from haca3_bids.reports.cohort import Member, chosen_column, cohort_notes, group_columns, read_cohort
from haca3_bids.reports.group import group_page
from haca3_bids.reports.outliers import medoid, medoids, percentiles, robust_distances, robust_z
from haca3_bids.reports.tables import HACA3_COLUMNS, MIXTURE_COLUMNS, contrast_table, qc_table


@pytest.fixture
def cohort(tmp_path: Path) -> list[Member]:
    write_cohort(tmp_path / "out", tmp_path / "raw", 40, people=20)
    return read_cohort(tmp_path / "out", tmp_path / "raw")


@pytest.fixture
def mixed(cohort: list[Member]) -> list[Member]:
    """The same sessions harmonized by the mixture model."""
    made = [as_mixture(json.loads(to_json(member.record))) for member in cohort]
    return [
        dataclasses.replace(member, record=from_values(record, SessionRecord))
        for member, record in zip(cohort, made, strict=True)
    ]


def page_data(page: str) -> dict[str, Any]:
    (text,) = re.findall(r'<script type="application/json" id="data">(.*?)</script>', page, flags=re.DOTALL)
    found: dict[str, Any] = json.loads(text)
    return found


def page_rows(page: str) -> dict[str, list[object]]:
    return {f"{row[0]}_{row[1]}": row for row in page_data(page)["rows"]}


def contrast_rows(member: Member) -> dict[tuple[str, str], dict[str, str]]:
    """The lines of the table of contrasts, by desc and contrast."""
    lines = csv.DictReader(to_tsv(contrast_table([member])).splitlines(), delimiter="\t")
    return {(row["desc"], row["contrast"]): row for row in lines}


def test_every_session_is_a_row_with_its_verdict(cohort: list[Member], tmp_path: Path) -> None:
    rows = page_rows(group_page(cohort, tmp_path / "out"))
    assert len(rows) == 40
    assert {name: row[2] for name, row in rows.items()} == {member.name: member.record.verdict for member in cohort}


def test_sessions_are_grouped_by_participants_tsv_sidecars_or_a_named_column(cohort: list[Member]) -> None:
    columns = group_columns(cohort)
    assert {"site", "session"} <= set(columns)
    assert "manufacturer" not in columns  # all are of one
    assert cohort[0].groups["scanner"] == "Tesla & Söhne 3 T"
    assert (chosen_column(columns, ""), chosen_column(columns, "age")) == ("site", "age")


def test_a_site_of_a_session_takes_precedence_over_that_of_its_participant(tmp_path: Path) -> None:
    write_cohort(tmp_path / "out", tmp_path / "raw", 4, people=2)
    (tmp_path / "raw/sub-0000").mkdir()
    table = "session_id\tsite\tacq_time\nses-1\tOslo\t2020-01-02\nses-3\tRome\tn/a\n"
    (tmp_path / "raw/sub-0000/sub-0000_sessions.tsv").write_text(table)
    members = read_cohort(tmp_path / "out", tmp_path / "raw")
    sites = {member.name: member.groups["site"] for member in members}
    assert sites["sub-0000_ses-1"] == "Oslo"
    assert sites["sub-0000_ses-2"] == "Aarhus"
    assert not any("acq_time" in member.groups for member in members)  # dates stay in the dataset
    assert "sub-0000_sessions.tsv has no row for ses-2." in cohort_notes(members, tmp_path / "raw")


def test_a_session_unlike_the_others_has_a_large_distance_and_the_measure_that_says_so(cohort: list[Member]) -> None:
    odd = next(index for index, member in enumerate(cohort) if member.record.verdict == "pass")
    cohort[odd].record.quality.scans["T2w"]["ghosts"] = 0.5
    distances = robust_distances(cohort)
    assert distances[odd] == (20.0, "T2w: ghosts")
    usual = [
        distance for (distance, _), member in zip(distances, cohort, strict=True) if member.record.verdict == "pass"
    ]
    assert np.median([value or 0.0 for value in usual]) < 4


def test_robust_distance_is_the_ordinary_one_for_a_normal_sample() -> None:
    values = np.random.default_rng(0).normal(5, 2, 20_000)
    np.testing.assert_allclose(robust_z(values), (values - 5) / 2, atol=0.15)


def test_of_few_sessions_or_equal_ones_nothing_is_said() -> None:
    assert np.isnan(robust_z(np.array([1.0, 2.0, 3.0]))).all()
    assert np.isnan(robust_z(np.ones(50))).all()


def test_a_percentile_is_the_share_of_values_that_are_no_larger() -> None:
    np.testing.assert_allclose(percentiles(np.array([3.0, 1.0, np.nan, 2.0])), [100, 100 / 3, np.nan, 200 / 3])


def test_the_medoid_has_the_smallest_sum_of_distances_by_brute_force() -> None:
    points = np.random.default_rng(1).normal(size=(700, 6))
    assert medoid(points[:60]) == int(np.argmin([np.linalg.norm(points[:60] - a, axis=1).sum() for a in points[:60]]))


def test_one_target_is_suggested_for_each_site_and_it_passes(cohort: list[Member], tmp_path: Path) -> None:
    found = medoids(cohort, "site")
    assert list(found) == ["Aarhus", "Basel", "Cardiff", "Delft"]
    assert all(member.record.verdict == "pass" and member.groups["site"] == site for site, (member, _) in found.items())
    assert f"--target {found['Basel'][0].name}" in group_page(cohort, tmp_path / "out")


def test_tables_have_a_dictionary_that_explains_every_column(cohort: list[Member]) -> None:
    for table in (contrast_table(cohort), qc_table(cohort)):
        lines = to_tsv(table).splitlines()
        names = lines[0].split("\t")
        assert names == [column.name for column in table.present] == list(table.rows[0])
        assert len({line.count("\t") for line in lines}) == 1
        assert all(column.described()["Description"] for column in table.columns)
    assert len(qc_table(cohort).rows) == 40 * (1 + 3 + 3)
    assert len(contrast_table(cohort).rows) == 40 * 6


def test_theta_of_a_scan_and_theta_that_its_harmonized_image_reached_are_in_the_table(cohort: list[Member]) -> None:
    rows = contrast_rows(cohort[0])
    own = cohort[0].record.harmonization.images[0]
    assert float(rows["preproc", "T1w"]["theta0"]) == pytest.approx(own.sources["T1w"].theta[0], rel=1e-4)
    assert float(rows["haca3", "T1w"]["theta0_after"]) == pytest.approx(own.theta_after[0], rel=1e-4)


def test_a_table_has_the_columns_of_its_family_of_networks(cohort: list[Member], mixed: list[Member]) -> None:
    for members, own, others in ((cohort, HACA3_COLUMNS, MIXTURE_COLUMNS), (mixed, MIXTURE_COLUMNS, HACA3_COLUMNS)):
        names = to_tsv(contrast_table(members)).splitlines()[0].split("\t")
        assert set(own) <= set(names)
        assert not set(others) & set(names)
    assert {f"theta_{tissue}" for tissue in TISSUES} | {"eta", "residual", "looks_like"} <= set(MIXTURE_COLUMNS)


def test_the_tissues_of_scans_targets_and_results_are_in_the_table(mixed: list[Member]) -> None:
    rows = contrast_rows(mixed[0])
    own = mixed[0].sources["T2w"]
    assert float(rows["preproc", "T2w"]["theta_csf"]) == pytest.approx(own.theta[0], rel=1e-4)
    assert [rows["preproc", "T2w"][name] for name in ("eta", "residual", "looks_like")] == ["0.11", "0.043", "T2w"]
    assert float(rows["haca3", "T2w"]["theta_grey"]) == TABLES["T2w"][1]
    reached = mixed[0].record.harmonization.images[1].theta_after
    assert float(rows["haca3", "T2w"]["theta_grey_after"]) == pytest.approx(reached[1], rel=1e-4)
    assert rows["haca3", "T2w"]["looks_like"] == "n/a"


def test_the_plane_of_the_group_shows_grey_matter_and_fluid_of_tables(
    cohort: list[Member], mixed: list[Member], tmp_path: Path
) -> None:
    data = page_data(group_page(mixed, tmp_path))
    assert data["axes"] == ["grey matter", "cerebrospinal fluid"]
    table = mixed[0].sources["T2w"].theta
    assert data["points"]["T2w"][0][1] == [pytest.approx(table[1], abs=1e-3), pytest.approx(table[0], abs=1e-3)]
    assert page_data(group_page(cohort, tmp_path))["axes"] == ["theta 1", "theta 2"]


def test_a_target_is_suggested_among_tables_and_is_not_the_odd_one(mixed: list[Member]) -> None:
    odd = medoids(mixed, "site")["Basel"][0]
    for image in odd.record.harmonization.images:
        for contrast, own in image.sources.items():
            fat = tuple(9.0 if name == "fat" else value for name, value in zip(TISSUES, own.theta, strict=True))
            image.sources[contrast] = dataclasses.replace(own, theta=fat)
    found = medoids(mixed, "site")
    assert list(found) == ["Aarhus", "Basel", "Cardiff", "Delft"]
    assert found["Basel"][0].name != odd.name


def test_one_session_alone_makes_a_page(tmp_path: Path) -> None:
    write_cohort(tmp_path / "out", tmp_path / "raw", 1, contrasts=("T1w",))
    (tmp_path / "raw/participants.tsv").unlink()
    page = group_page(read_cohort(tmp_path / "out", tmp_path / "raw"), tmp_path / "out")
    assert "1 session of 1 participant" in re.sub(r"\s+", " ", page)


def test_names_and_sentences_from_outside_end_no_script(tmp_path: Path) -> None:
    evil = "</script><script>alert(1)</script>"
    made = record("01", "", ("T1w",), 0, np.random.default_rng(0))
    made["quality"] |= {"verdict": "fail", "reasons": [{"measure": "x", "grade": "fail", "sentence": evil}]}
    write_record(tmp_path / "out", made)
    (tmp_path / "raw").mkdir()
    (tmp_path / "raw/participants.tsv").write_text(f"participant_id\tsite\nsub-01\t{evil}\n")
    page = group_page(read_cohort(tmp_path / "out", tmp_path / "raw"), tmp_path / "out", "site")
    assert page.count("<script") == 2
    assert evil in page_rows(page)["sub-01_"]


def test_a_failed_session_is_a_row_like_any_other(tmp_path: Path) -> None:
    reasons = [{"measure": "error", "grade": "fail", "sentence": "The T1w is 4D."}]
    failed = {"subject": "01", "session": None, "status": "failed", "quality": {"verdict": "fail", "reasons": reasons}}
    write_record(tmp_path / "out", failed | {"preprocessing": {}, "harmonization": {}})
    rows = page_rows(group_page(read_cohort(tmp_path / "out", tmp_path), tmp_path / "out"))
    assert rows["sub-01_"][2:4] == ["fail", "The T1w is 4D."]


@pytest.mark.parametrize("content", ["", "{", "[1]"])
def test_a_record_that_cannot_be_read_is_a_row_that_says_so(content: str, tmp_path: Path) -> None:
    write_cohort(tmp_path / "out", tmp_path / "raw", 2, contrasts=("T1w",))
    path = min((tmp_path / "out").rglob("*_desc-haca3_qc.json"))
    path.write_text(content)
    members = read_cohort(tmp_path / "out", tmp_path / "raw")
    (row,) = (row for row in page_rows(group_page(members, tmp_path / "out")).values() if row[2] == "fail")
    assert path.name in str(row[3])
    assert path.name.startswith(f"{row[0]}_")
