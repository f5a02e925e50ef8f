import dataclasses

import pytest
import torch
from safetensors.torch import save_file

from haca3_bids.checkpoints import formats, registry
from haca3_bids.checkpoints.formats import (
    Reference,
    convert,
    describe_file,
    load_checkpoint,
    load_fusion,
    save_checkpoint,
    save_fusion,
)
from haca3_bids.errors import CannotCreate, Unavailable, UsageError
from haca3_bids.networks.fusion import FusionNet


@pytest.fixture(scope="module")
def authors_file(released, tmp_path_factory):
    """A file as training leaves it: networks, optimizer, scheduler, epoch and a text."""
    path = tmp_path_factory.mktemp("authors") / "harmonization_public.pt"
    network = torch.nn.Linear(2, 2)
    optimizer = torch.optim.Adam(network.parameters(), lr=4e-4)
    scheduler = torch.optim.lr_scheduler.CyclicLR(optimizer, 4e-4, 7e-4, cycle_momentum=False)
    network(torch.ones(1, 2)).sum().backward()
    optimizer.step()
    scheduler.step()
    extra = {
        "epoch": 7,
        "optimizer": optimizer.state_dict(),
        "scheduler": scheduler.state_dict(),
        "timestr": "20230101-120000",
    }
    torch.save({part: keys for part, keys in released.items() if part != "fusion_net"} | extra, path)
    return path


@pytest.fixture(scope="module")
def fusion_file(released, tmp_path_factory):
    path = tmp_path_factory.mktemp("authors") / "fusion.pt"
    torch.save({"fusion_net": released["fusion_net"], "epoch": 3}, path)
    return path


@pytest.fixture(scope="module")
def checkpoint(authors_file):
    return load_checkpoint(authors_file)


def test_a_training_checkpoint_of_the_authors_loads_with_all_its_entries(checkpoint, released):
    state = checkpoint.model.state_dict()
    for part in formats.PARTS:
        for key, value in released[part].items():
            assert torch.equal(state[f"{part}.{key}"], value)
    assert not checkpoint.model.training
    assert checkpoint.name == "harmonization_public"
    assert len(checkpoint.sha256) == 64


def test_the_fusion_file_of_the_authors_loads(fusion_file, released):
    state = load_fusion(fusion_file).state_dict()
    assert all(torch.equal(state[key], value) for key, value in released["fusion_net"].items())


def test_the_variant_is_the_one_given_else_what_the_registry_knows(authors_file, checkpoint, monkeypatch):
    assert checkpoint.model.config.variant == "haca3"
    assert load_checkpoint(authors_file, "haca3plus").model.config.variant == "haca3plus"
    plus = dataclasses.replace(registry.RELEASED["haca3plus"], sha256=checkpoint.sha256)
    monkeypatch.setattr(registry, "RELEASED", {"haca3plus": plus})
    found = load_checkpoint(authors_file)
    assert (found.model.config.variant, found.name) == ("haca3plus", "haca3plus")
    with pytest.raises(Unavailable, match="no variant haca4"):
        load_checkpoint(authors_file, "haca4")


def test_our_own_file_gives_back_networks_references_and_card(checkpoint, tmp_path):
    references = {"T2w": Reference("T2w", (1.5, -2.0), (0.3, 0.5), 812.0, "a clean T2w")}
    path = tmp_path / "own.safetensors"
    save_checkpoint(path, checkpoint.model, references=references, card={"data": "simulated"})
    found = load_checkpoint(path)
    assert found.references == references
    assert found.card == {"data": "simulated"}
    assert found.model.config == checkpoint.model.config
    wanted = checkpoint.model.state_dict()
    for key, value in found.model.state_dict().items():
        assert value.dtype == torch.float32
        assert torch.equal(value, wanted[key].half().float())
    assert path.stat().st_size < 30e6
    assert [file.name for file in tmp_path.iterdir()] == ["own.safetensors"]


def test_our_own_fusion_file_gives_back_the_network(fusion_file, tmp_path):
    net = load_fusion(fusion_file)
    save_fusion(tmp_path / "fusion.safetensors", net, card={}, half=False)
    found = load_fusion(tmp_path / "fusion.safetensors").state_dict()
    assert all(torch.equal(found[key], value) for key, value in net.state_dict().items())


def test_a_converted_file_holds_the_same_numbers(authors_file, fusion_file, checkpoint, tmp_path):
    convert(authors_file, tmp_path / "haca3.safetensors", "haca3", "haca3plus")
    found = load_checkpoint(tmp_path / "haca3.safetensors")
    assert found.model.config.variant == "haca3plus"
    assert found.card["sha256_of_original"] == checkpoint.sha256
    wanted = checkpoint.model.state_dict()
    assert all(torch.equal(value, wanted[key]) for key, value in found.model.state_dict().items())
    convert(fusion_file, tmp_path / "fusion.safetensors", "fusion", half=True)
    assert describe_file(tmp_path / "fusion.safetensors", "fusion")["card"]["converted_from"] == "fusion.pt"
    with pytest.raises(UsageError, match=r"\.safetensors"):
        convert(fusion_file, tmp_path / "fusion.bin", "fusion")


def test_a_file_can_be_described(authors_file, checkpoint):
    described = describe_file(authors_file)
    assert described["sha256"] == checkpoint.sha256
    assert described["config"]["variant"] == "haca3"


def _truncated(source, path):
    path.write_bytes(source.read_bytes()[: source.stat().st_size // 2])
    return path


def test_a_truncated_file_is_a_sentence(authors_file, checkpoint, tmp_path):
    with pytest.raises(Unavailable, match=r"short.pt cannot be read as a PyTorch checkpoint"):
        load_checkpoint(_truncated(authors_file, tmp_path / "short.pt"))
    save_checkpoint(tmp_path / "own.safetensors", checkpoint.model, references={}, card={})
    with pytest.raises(Unavailable, match="cannot be read as safetensors"):
        load_checkpoint(_truncated(tmp_path / "own.safetensors", tmp_path / "short.safetensors"))


@pytest.mark.parametrize("content", [b"", b"weights", b"\x80\x02}q\x00.", b"PK\x03\x04" + bytes(100), bytes(5000)])
@pytest.mark.parametrize("name", ["foreign.pt", "foreign.safetensors"])
def test_a_foreign_file_is_a_sentence(content, name, tmp_path):
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(Unavailable, match="foreign"):
        load_checkpoint(path)
    with pytest.raises(Unavailable, match="foreign"):
        load_fusion(path)


class Outsider:
    """Code that a file must not be able to run."""


def test_a_file_with_code_in_it_is_refused(tmp_path):
    torch.save({"beta_encoder": Outsider()}, tmp_path / "code.pt")
    with pytest.raises(Unavailable, match=r"code.pt"):
        load_checkpoint(tmp_path / "code.pt")


def test_checkpoints_of_other_networks_are_refused_with_what_they_lack(tmp_path):
    torch.save({"state_dict": {"weight": torch.ones(2)}}, tmp_path / "other.pt")
    with pytest.raises(Unavailable, match=r"other.pt is not HACA3 weights: it lacks \d+ of \d+ tensors"):
        load_checkpoint(tmp_path / "other.pt")
    torch.save([1, 2], tmp_path / "list.pt")
    with pytest.raises(Unavailable, match="contains a list"):
        load_checkpoint(tmp_path / "list.pt")
    save_file({"weight": torch.ones(2)}, tmp_path / "other.safetensors")
    with pytest.raises(Unavailable, match="was not written by haca3-bids"):
        load_checkpoint(tmp_path / "other.safetensors")


def test_fusion_and_harmonization_weights_are_not_mistaken_for_each_other(authors_file, fusion_file):
    with pytest.raises(Unavailable, match="it holds fusion weights"):
        load_checkpoint(fusion_file)
    with pytest.raises(Unavailable, match="it holds HACA3 weights"):
        load_fusion(authors_file)


def test_missing_files_and_folders_are_sentences(checkpoint, tmp_path):
    with pytest.raises(Unavailable, match="cannot be found"):
        load_checkpoint(tmp_path / "none.pt")
    with pytest.raises(CannotCreate, match=r"own.safetensors cannot be written \(No such file or directory\)."):
        save_checkpoint(tmp_path / "no" / "own.safetensors", checkpoint.model, references={}, card={})


def test_weights_can_be_read_by_whoever_may_read_other_files(tmp_path):
    (tmp_path / "other").touch()
    save_fusion(tmp_path / "w.safetensors", FusionNet(), card={})
    assert (tmp_path / "w.safetensors").stat().st_mode == (tmp_path / "other").stat().st_mode
