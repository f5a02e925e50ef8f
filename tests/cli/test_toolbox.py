import json
import subprocess
import sys

import nibabel as nib
import numpy as np
import pytest

from haca3_bids.checkpoints import registry
from haca3_bids.cli import toolbox
from haca3_bids.option import options_of
from haca3_bids.settings import HarmonizationSettings
from haca3_bids.volumes.volume import Volume, load_volume, save_volume


@pytest.fixture
def head(tmp_path):
    """A ball with a texture, as a file."""
    x, y, z = np.indices((16, 16, 16)) - 7.5
    data = (x**2 + y**2 + z**2 < 36) * (800 + 100 * np.sin(x))
    save_volume(Volume(data.astype(np.float32), np.diag([-1.0, -1, 1, 1])), tmp_path / "sub-1_T1w.nii.gz")
    return tmp_path / "sub-1_T1w.nii.gz"


@pytest.fixture
def seen(monkeypatch):
    """What reaches the engine, which gives back its first source."""
    from haca3_bids.harmonization import engine, job
    from haca3_bids.harmonization.engine import Harmonized
    from haca3_bids.records.engine import HarmonizedImage, SourceReport, WeightsUsed

    calls = {}

    class Networks:
        name, references, variant = "tiny", {}, "haca3"

    def harmonize(sources, targets, checkpoint, fusion, settings, **more):
        calls.update(sources=sources, target=targets[0], settings=settings, **more)
        image = next(iter(sources.values()))
        std = image if settings.beta == "sample" else None
        maps = sources if "attention" in more["extras"] else {}
        reports = {name: SourceReport((0.0, 0.0), (0.0, 0.0), 1.0, 1.0) for name in sources}
        made = HarmonizedImage(targets[0], reports, scale=1.0, cut_share=0.0, covered_share=1.0)
        return [Harmonized(made, image, std, "cpu", settings.precision, "soft", maps)]

    monkeypatch.setattr(engine, "harmonize", harmonize)
    weights = job.Networks(Networks(), None, WeightsUsed("tiny"))
    monkeypatch.setattr(job, "load_networks", lambda settings, with_fusion=True: weights)
    return calls


def run(*arguments):
    return toolbox.main(["harmonize", "--device", "cpu", *map(str, arguments)])


def test_every_option_reaches_the_engine(head, seen, tmp_path):
    out = tmp_path / "out.nii.gz"
    options = "--theta 1 2 --eta 3 4 --contrast T2w --weights haca3 --fusion-weights median --variant haca3plus"
    options += " --background none --precision bf16 --batch-size 3 --beta sample --samples 2 --seed 5 --threads 1"
    masks = ["--white-matter", head, "--head-mask", head, "--coverage", f"T1w={head}", "--like-authors"]
    assert run("--source", f"T1w={head}", "--source", f"FLAIR={head}", "--out", out, *options.split(), *masks) == 0
    settings, target = seen["settings"], seen["target"]
    assert list(seen["sources"]) == ["T1w", "FLAIR"]
    assert (target.theta, target.eta, target.contrast, target.scale) == ((1.0, 2.0), (3.0, 4.0), "T2w", 1000.0)
    assert (settings.weights, settings.fusion_weights, settings.variant) == ("haca3", "median", "haca3plus")
    assert (settings.background, settings.precision, settings.batch_size) == ("none", "bf16", 3)
    assert (settings.beta, settings.samples, settings.seed, settings.threads) == ("sample", 2, 5, 1)
    assert settings.like_authors
    assert set(seen["coverage"]) == {"T1w"}
    assert seen["white_matter"] is not None
    assert seen["head_mask"] is not None
    assert {path.name for path in tmp_path.iterdir()} == {head.name, "out.nii.gz", "out_std.nii.gz", "out.json"}


def test_the_options_of_the_networks_are_those_of_the_app(capsys):
    with pytest.raises(SystemExit):
        run("--help")
    printed = capsys.readouterr().out
    rows = options_of(HarmonizationSettings)
    assert rows
    assert all(f"--{row.name} " in printed for row in rows)


def test_additional_images_are_written_beside_the_output(head, seen, tmp_path):
    words = ["--source", f"T1w={head}", "--theta", 1, 2, "--out", tmp_path / "out.nii", "--extra-outputs", "attention"]
    assert run(*words) == 0
    assert {path.name for path in tmp_path.glob("out*")} == {"out.nii", "out_attentionT1w.nii", "out.json"}


@pytest.mark.parametrize(("words", "like_authors"), [([], False), (["--engine", "authors"], True)])
def test_the_engine_of_the_authors_is_an_option(words, like_authors, head, seen, tmp_path):
    assert run("--source", f"T1w={head}", "--theta", 1, 2, "--out", tmp_path / "out.nii", *words) == 0
    assert seen["settings"].like_authors == like_authors


def test_a_header_without_orientation_is_accepted_on_request(head, seen, tmp_path, capsys):
    image = nib.load(head)
    image.set_sform(None, code=0)
    image.set_qform(None, code=0)
    nib.save(image, tmp_path / "unplaced.nii")
    words = ["--source", f"T1w={tmp_path / 'unplaced.nii'}", "--theta", 1, 2, "--out", tmp_path / "out.nii"]
    assert run(*words) == 65
    assert "--force orientation" in capsys.readouterr().err
    assert run(*words, "--force", "orientation") == 0


@pytest.mark.parametrize(("change", "sentence"), [("standardized", "standardized"), ("labels", "a segmentation")])
def test_standardized_images_and_labels_are_refused_as_sources_and_targets(
    head, seen, tmp_path, capsys, change, sentence
) -> None:
    image = load_volume(head)
    data = (image.data - image.data.mean()) / image.data.std() if change == "standardized" else image.data // 300
    bad = tmp_path / "sub-2_T1w.nii.gz"
    save_volume(image.with_data(data), bad)
    for source, *target in ((bad, "--theta", 1, 2), (head, "--target-image", bad)):
        assert run("--source", f"T1w={source}", *target, "--out", tmp_path / "out.nii.gz") == 65
        assert sentence in capsys.readouterr().err


def test_samples_without_sampling_are_refused(head, tmp_path, capsys):
    assert run("--source", f"T1w={head}", "--theta", 1, 2, "--samples", 2, "--out", tmp_path / "out.nii") == 64
    assert "--beta sample" in capsys.readouterr().err


def test_the_sidecar_says_how_the_image_came_about(head, seen, tmp_path):
    assert run("--source", f"T1w={head}", "--theta", 1, 2, "--out", tmp_path / "out.nii") == 0
    sidecar = json.loads((tmp_path / "out.json").read_text())
    assert sidecar["target"]["eta"] == [0.3, 0.5]
    assert sidecar["source_files"] == {"T1w": head.name}
    assert sidecar["weights"]["name"] == "tiny"
    assert np.array_equal(load_volume(tmp_path / "out.nii").data, load_volume(head).data)


def test_a_target_image_takes_its_contrast_from_its_name(head, seen, tmp_path, monkeypatch):
    from haca3_bids.harmonization import engine, target

    def encode(volume, contrast, checkpoint, settings, *, origin):
        return target.Target("", contrast, (7.0, 8.0), (0.0, 0.0), 1.0, origin)

    monkeypatch.setattr(engine, "encode_target", encode)
    assert run("--source", f"T1w={head}", "--target-image", head, "--out", tmp_path / "out.nii") == 0
    assert (seen["target"].contrast, seen["target"].theta) == ("T1w", (7.0, 8.0))


def test_a_reference_that_the_weights_lack_is_a_usage_error(head, seen, tmp_path, capsys):
    assert run("--source", f"T1w={head}", "--target", "PDw", "--out", tmp_path / "out.nii") == 64
    assert "no built-in reference for PDw" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "code", "sentence"),
    [
        (["--theta", "1", "2", "--out", "out.png"], 64, "not the name of a NIfTI file"),
        (["--theta", "1", "2", "--out", "none/out.nii"], 73, "does not exist"),
        (["--theta", "1", "2", "--out", "sub-1_T1w.nii.gz"], 64, "is one of the inputs"),
        (["--theta", "1", "2", "--out", "sub-1_T1w.nii"], 64, "would replace sub-1_T1w.nii.gz or its sidecar"),
        (["--theta", "1", "2", "--out", "out.nii", "--threads", "-1"], 64, "--threads -1 is invalid"),
        (["--theta", "1", "2", "--out", "o.nii", "--coverage", "T2w=m.nii"], 64, "no effect without a T2w source"),
        (["--target-image", "x_std.nii", "--out", "x.nii"], 64, "would replace x_std.nii or its sidecar"),
        (["--target", "T1w", "--eta", "1", "2", "--out", "o.nii"], 64, "--eta requires --theta"),
        (["--target", "T1w", "--contrast", "T2w", "--out", "o.nii"], 64, "no effect with --target"),
        (["--theta", "1", "2", "--source", "T1w=x.nii", "--out", "o.nii"], 64, "twice"),
        (["--theta", "1", "2", "--source", "CT=x.nii", "--out", "o.nii"], 64, "CONTRAST=FILE"),
        (["--theta", "1", "2", "--source", "T2w=none.nii", "--out", "o.nii"], 65, "does not exist"),
        (["--theta", "1", "2", "--batch-size", "0", "--out", "o.nii"], 64, "above zero"),
        (["--theta", "1", "2", "--device", "cuda:99", "--out", "o.nii"], 69, "--gpus all"),
        (["--out", "o.nii"], 64, "required"),
    ],
)
def test_what_cannot_be_is_a_sentence_and_leaves_nothing(arguments, code, sentence, head, seen, capsys, monkeypatch):
    monkeypatch.chdir(head.parent)
    assert run("--source", f"T1w={head.name}", *arguments) == code
    assert sentence in capsys.readouterr().err
    assert [path.name for path in head.parent.iterdir()] == [head.name]


def test_missing_weights_are_a_sentence(head, tmp_path, capsys):
    arguments = ["--source", f"T1w={head}", "--theta", "1", "2", "--weights", "none.pt", "--out", tmp_path / "o.nii"]
    assert run(*arguments) == 69
    assert "The weights file none.pt cannot be found." in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--target", "T1w", "--variant", "haca3plus"], "--variant haca3plus does not apply to builtin"),
        (["--target", "T1w", "--fusion-weights", "f.pt"], "--fusion-weights f.pt does not apply to builtin"),
        (["--target-image", "scan.nii.gz"], "The contrast of the target image scan.nii.gz is unknown."),
        (
            ["--target-image", "scan.nii.gz", "--contrast", "t1"],
            "The contrast of the target image scan.nii.gz is unknown.",
        ),
        (["--theta", "1", "2"], "Theta of the target has 2 numbers; the weights builtin need 13."),
    ],
)
def test_what_the_mixture_model_cannot_use_is_a_usage_error(arguments, sentence, head, capsys, monkeypatch):
    monkeypatch.chdir(head.parent)
    head.with_name("scan.nii.gz").symlink_to(head)
    assert run("--source", f"T1w={head.name}", "--out", "o.nii", *arguments) == 64
    assert sentence in capsys.readouterr().err


def test_the_contrast_of_a_target_image_may_be_its_whole_name(head, seen, tmp_path, monkeypatch):
    from haca3_bids.harmonization import engine, target

    def encode(volume, contrast, checkpoint, settings, *, origin):
        return target.Target("", contrast, (7.0, 8.0), (0.0, 0.0), 1.0, origin)

    monkeypatch.setattr(engine, "encode_target", encode)
    (tmp_path / "FLAIR.nii.gz").symlink_to(head)
    words = ["--target-image", tmp_path / "FLAIR.nii.gz", "--out", tmp_path / "out.nii"]
    assert run("--source", f"T1w={head}", *words) == 0
    assert seen["target"].contrast == "FLAIR"


@pytest.mark.parametrize("what", ["export", "mixture --simulate ."])
def test_a_training_whose_folder_is_a_file_is_a_sentence(what, head, capsys, monkeypatch):
    monkeypatch.chdir(head.parent)
    assert toolbox.main(["train", *what.split(), "--out", head.name]) == 73
    assert f"--out {head.name} is a file." in capsys.readouterr().err


def test_nothing_is_exported_or_made_where_nothing_was_trained(tmp_path, capsys):
    assert toolbox.main(["train", "export", "--out", str(tmp_path / "none")]) == 65
    assert "has no trained networks." in capsys.readouterr().err
    assert not (tmp_path / "none").exists()


def test_weights_are_listed_with_their_hashes(capsys, monkeypatch, tmp_path):
    monkeypatch.setenv("HACA3_HOME", str(tmp_path))
    assert toolbox.main(["weights", "list"]) == 0
    printed = capsys.readouterr().out
    assert all(entry.sha256 in printed and entry.url in printed for entry in registry.RELEASED.values())


def test_weights_are_fetched_by_name(capsys, monkeypatch, tmp_path):
    monkeypatch.setattr(registry, "fetch", lambda name: tmp_path / name)
    assert toolbox.main(["weights", "fetch", "fusion"]) == 0
    assert str(tmp_path / "fusion") in capsys.readouterr().out
    assert toolbox.main(["weights", "fetch", "haca4"]) == 64


def test_a_fusion_file_is_converted_and_shown(capsys, tmp_path):
    import torch

    from haca3_bids.networks.fusion import FusionNet

    torch.save({"fusion_net": FusionNet().state_dict()}, tmp_path / "fusion.pt")
    out = tmp_path / "own.safetensors"
    assert toolbox.main(["weights", "convert", str(tmp_path / "fusion.pt"), str(out), "--kind", "fusion"]) == 0
    capsys.readouterr()
    assert toolbox.main(["weights", "show", str(out), "--kind", "fusion"]) == 0
    assert json.loads(capsys.readouterr().out)["card"]["converted_from"] == "fusion.pt"
    assert toolbox.main(["weights", "show", str(out)]) == 69


def test_help_and_version_need_no_heavy_library():
    code = (
        "import sys; from haca3_bids.cli import toolbox\n"
        "try: toolbox.main(['harmonize', '--help'])\n"
        "except SystemExit: pass\n"
        "sys.exit(bool({'torch', 'numpy', 'nibabel', 'scipy'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False, stdout=subprocess.DEVNULL).returncode == 0
