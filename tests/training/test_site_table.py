"""The table of sites: every session has one, whichever way its labels are written."""

import pytest

from haca3_bids.errors import BadInput
from haca3_bids.training.site_table import assign_sites


@pytest.fixture
def table(tmp_path):
    def write(*rows, header="participant_id\tsession_id\tsite"):
        path = tmp_path / "sites.tsv"
        path.write_text("\n".join([header, *rows]) + "\n")
        return path

    return write


@pytest.mark.parametrize("prefix", ["", "sub-"])
@pytest.mark.parametrize("session", ["1", "ses-1"])
@pytest.mark.parametrize("nothing", ["n/a", ""])
def test_labels_may_lack_their_prefix_and_sessions_be_missing(table, prefix, session, nothing, caplog):
    path = table(f"{prefix}01\t{session}\tnorth", f"{prefix}01\t{nothing}\tsouth", f"{prefix}02\t{nothing}\teast")
    found = assign_sites(["a/sub-01_ses-1", "a/sub-01_ses-2", "a/sub-02"], path)
    assert found == ["north", "south", "east"]
    assert not caplog.messages


def test_a_session_without_a_row_is_a_sentence(table):
    path = table("01\tn/a\tnorth", "03\t1\tsouth")
    with pytest.raises(BadInput, match=r"sites.tsv has no row with a site for sub-02, sub-03_ses-2\."):
        assign_sites(["a/sub-01", "a/sub-02", "a/sub-03_ses-2"], path)
    with pytest.raises(BadInput, match=r"sub-13, sub-14 and 15 more\."):
        assign_sites([f"a/sub-{number}" for number in range(10, 30)], path)


def test_a_row_without_a_session_is_a_warning(table, caplog):
    path = table("01\tn/a\tnorth", "1\tn/a\tsouth")
    assert assign_sites(["a/sub-01"], path) == ["north"]
    assert caplog.messages == ["sites.tsv: no preprocessed image belongs to sub-1; are the labels right?"]


def test_one_table_cannot_describe_two_datasets_with_the_same_labels(table):
    path = table("01\tn/a\tnorth")
    with pytest.raises(BadInput, match=r"Several --data folders .* \(sub-01\); one table cannot") as error:
        assign_sites(["a/sub-01", "b/sub-01"], path)
    assert "Omit --sites" in error.value.hint
    assert assign_sites(["a/sub-01_ses-1", "b/sub-01_ses-2"], path) == ["north", "north"]


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        (["01\t1\tnorth", "sub-01\tses-1\tsouth"], "one site for sub-01_ses-1"),
        (["01\t1\tn/a"], "no row with a site for sub-01_ses-1"),
        (["01\t1"], "no row with a site for sub-01_ses-1"),
        (["\t1\tnorth"], "one site for every row"),
        ([], "has no columns participant_id and site"),
    ],
)
def test_a_table_that_does_not_say_the_site_is_a_sentence(table, rows, words):
    with pytest.raises(BadInput, match=words):
        assign_sites(["a/sub-01_ses-1"], table(*rows))


def test_a_quotation_mark_does_not_swallow_the_rows_that_follow(table):
    path = table('01\tn/a\t"north', '02\tn/a\t"south"', "03\tn/a\teast")
    assert assign_sites(["a/sub-01", "a/sub-02", "a/sub-03"], path) == ["north", "south", "east"]
