"""``haca3 evaluate``: every measure prints its table, every option is listened to, what cannot be is a sentence."""

import html
import json

import numpy as np
import pytest

from haca3_bids.cli import evaluate, toolbox
from haca3_bids.volumes.volume import Volume, save_volume

AFFINE = np.diag([-1.0, -1, 1, 1])


@pytest.fixture
def head():
    x, y, z = np.indices((24, 24, 24)) - 11.5
    inside = x**2 + y**2 + z**2 < 100
    return (inside * (800 + 200 * np.sin(x) * np.cos(y / 2))).astype(np.float32)


def save(data, path, affine=AFFINE):
    path.parent.mkdir(parents=True, exist_ok=True)
    save_volume(Volume(np.asarray(data, np.float32), affine), path)
    return path


def table(capsys, *arguments):
    assert toolbox.main(["evaluate", *map(str, arguments)]) == 0
    names, *rows = (line.split("\t") for line in capsys.readouterr().out.splitlines())
    return [dict(zip(names, row, strict=True)) for row in rows]


def test_similarity_tells_the_better_image_from_the_worse(head, tmp_path, capsys):
    rng = np.random.default_rng(0)
    truth = save(head, tmp_path / "truth.nii")
    good, bad = (save(3 * (head + s * rng.standard_normal(head.shape)), tmp_path / f"{s}.nii") for s in (20, 100))
    better, worse = table(capsys, "similarity", good, bad, "--truth", truth)
    assert (better["image"], worse["image"]) == ("20.nii", "100.nii")
    assert float(better["psnr_db"]) > float(worse["psnr_db"]) + 10
    assert float(better["ssim"]) > float(worse["ssim"])


def test_similarity_looks_inside_the_mask_only(head, tmp_path, capsys):
    spoilt = head.copy()
    spoilt[:12] *= 0.5
    mask = np.zeros_like(head)
    mask[13:] = head[13:] > 0
    images = [save(data, tmp_path / f"{name}.nii") for name, data in (("a", spoilt), ("t", head), ("m", mask))]
    (found,) = table(capsys, "similarity", images[0], "--truth", images[1], "--mask", images[2])
    assert found["psnr_db"] == "inf"


def test_a_mask_on_another_grid_is_named(head, tmp_path, capsys):
    paths = [save(head, tmp_path / "t.nii"), save(head > 0, tmp_path / "mask.nii", 3 * AFFINE)]
    assert (
        toolbox.main(["evaluate", "similarity", str(paths[0]), "--truth", str(paths[0]), "--mask", str(paths[1])]) == 65
    )
    assert "mask.nii does not share the grid of t.nii" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "shown"),
    [
        (["--out=/a/b"], "haca3 --out=b"),
        (["--method", "CUT=/a/b/cut"], "haca3 --method CUT=cut"),
        (["/a/b=c/d", "--target", "T1w:csf=0.2"], "haca3 d --target T1w:csf=0.2"),
    ],
)
def test_the_command_on_a_page_has_no_folders_but_is_a_command(words, shown):
    assert evaluate.shareable(words) == shown


def test_overlap_prints_every_label(tmp_path, capsys):
    one, other = np.zeros((4, 4, 4)), np.zeros((4, 4, 4))
    one[0], other[0, :2], other[3] = 1, 1, 7
    rows = table(capsys, "overlap", save(one, tmp_path / "a.nii"), save(other, tmp_path / "b.nii"))
    assert [(row["label"], row["dice"]) for row in rows] == [("1", "0.6667"), ("7", "0")]
    assert [(row["volume_ml"], row["other_volume_ml"]) for row in rows] == [("0.016", "0.008"), ("0", "0.016")]


@pytest.fixture
def volumes(tmp_path):
    path = tmp_path / "volumes.tsv"
    rows = [(f"sub-{p}", s, y, 100 + 10 * p + 2 * y + (s == "B"), p) for p in range(4) for s, y in (("A", 0), ("B", 3))]
    lines = ["participant_id\tsite\tyears\tgrey\twho", *("\t".join(map(str, row)) for row in rows)]
    path.write_text("\n".join(lines) + "\n")
    return path


def test_reliability_is_that_of_the_column(volumes, capsys):
    (found,) = table(capsys, "reliability", volumes, "--value", "grey")
    assert (found["people"], found["sites"]) == ("4", "2")
    assert float(found["consistency"]) == pytest.approx(1)
    assert float(found["between_sites"]) == pytest.approx(7 / 2**0.5, rel=0.01)
    (same,) = table(capsys, "reliability", volumes, "--value", "grey", "--site", "years", "--person", "who")
    assert same == found


def test_findings_are_written_as_table_dictionary_and_page(volumes, tmp_path, capsys):
    out = tmp_path / "found"
    (printed,) = table(capsys, "reliability", volumes, "--value", "grey", "--out", out)
    names, row = (line.split("\t") for line in (out / "reliability.tsv").read_text().splitlines())
    written = dict(zip(names, row, strict=True))
    assert float(written["agreement"]) == pytest.approx(float(printed["agreement"]), rel=1e-3)
    described = json.loads((out / "reliability.json").read_text())
    assert list(described) == names
    assert all(one["Description"] for one in described.values())
    page = (out / "reliability.html").read_text()
    assert all(one["Description"] in html.unescape(page) for one in described.values())
    assert "haca3 evaluate reliability volumes.tsv --value grey --out found" in page
    assert str(tmp_path) not in page
    assert "data:image/svg+xml" in page
    assert "http" not in page.replace("http-equiv", "")


def test_the_pages_of_images_and_label_maps_show_them(head, tmp_path, capsys):
    maps = [save(data, tmp_path / f"{name}.nii") for name, data in (("a", head > 500), ("b", head > 0), ("t", head))]
    table(capsys, "overlap", *maps[:2], "--out", tmp_path)
    table(capsys, "similarity", maps[1], "--truth", maps[2], "--out", tmp_path)
    for name in ("overlap", "similarity"):
        assert (tmp_path / f"{name}.html").read_text().count("data:image/svg+xml") == 1


def test_a_place_that_cannot_be_written_to_is_told_before_anything_is_computed(tmp_path, capsys):
    (tmp_path / "file").touch()
    assert toolbox.main(["evaluate", "overlap", "none", "none", "--out", str(tmp_path / "file")]) == 73
    assert "is a file" in capsys.readouterr().err


@pytest.mark.parametrize("name", evaluate.EXPERIMENTS)
def test_every_column_is_described_once(name):
    experiment = evaluate.EXPERIMENTS[name]
    assert next(iter(experiment.COLUMNS)) == name
    for columns in experiment.COLUMNS.values():
        assert len({column.name for column in columns}) == len(columns)
        assert not [column for column in columns if not column.description or column.description.endswith(".")]


@pytest.mark.parametrize(
    ("arguments", "code", "sentence"),
    [
        (["similarity", "a.nii", "--truth", "none.nii"], 65, "does not exist"),
        (["similarity", "other.nii", "--truth", "a.nii"], 65, "does not share the grid"),
        (["overlap", "a.nii", "other.nii"], 65, "do not share a grid"),
        (["overlap", "a.nii", "a.nii"], 65, "a.nii is not a label map"),
        (["reliability", "volumes.tsv", "--value", "white"], 65, "has no column white"),
        (["reliability", "volumes.tsv", "--value", "site"], 65, "is not a number"),
        (["reliability", "short.tsv", "--value", "grey"], 65, "'' in column grey is not a number"),
        (["reliability", "names.tsv", "--value", "grey"], 65, "names.tsv has no rows"),
        (["reliability", "volumes.tsv", "--value", "grey", "--person", "site", "--site", "years"], 65, "two lines"),
        ([], 64, "required"),
    ],
)
def test_what_cannot_be_measured_is_a_sentence(arguments, code, sentence, head, volumes, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    save(head, tmp_path / "a.nii")
    save(head, tmp_path / "other.nii", np.diag([1.0, 1, 2, 1]))
    (tmp_path / "names.tsv").write_text("participant_id\tsite\tgrey\n")
    (tmp_path / "short.tsv").write_text("participant_id\tsite\tgrey\nsub-1\tA\n")
    assert toolbox.main(["evaluate", *arguments]) == code
    assert sentence in capsys.readouterr().err
