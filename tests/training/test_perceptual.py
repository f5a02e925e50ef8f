"""The perceptual loss of the paper, with weights that a test makes."""

import pytest
import torch

from haca3_bids.errors import BadInput
from haca3_bids.training.perceptual import Vgg16Loss, _features


@pytest.fixture
def weights(tmp_path):
    torch.manual_seed(0)
    path = tmp_path / "vgg16.pth"
    state = {f"features.{name}": tensor for name, tensor in _features().state_dict().items()}
    torch.save(state | {"classifier.0.weight": torch.zeros(2, 2)}, path)
    return path


def test_equal_images_cost_nothing_and_different_ones_something(weights):
    loss, image, mask = Vgg16Loss(weights), torch.rand(2, 1, 32, 32), torch.ones(2, 1, 32, 32)
    assert loss(image, image, mask).item() == 0
    assert loss(image, image.flip(-1), mask).item() > 0
    assert loss(image, image * mask.tril(), mask.tril()).item() == 0


def test_the_thirteenth_layer_is_compared(weights):
    assert len(_features()) == 13
    assert _features()[-1].out_channels == 256


def test_the_gradient_reaches_the_image_and_not_the_network(weights):
    loss, image = Vgg16Loss(weights), torch.rand(1, 1, 32, 32, requires_grad=True)
    loss(image, torch.zeros(1, 1, 32, 32), torch.ones(1, 1, 32, 32)).backward()
    assert image.grad.abs().sum() > 0
    assert not any(parameter.requires_grad for parameter in loss.parameters())


@pytest.mark.parametrize("content", [b"", b"no weights", None])
def test_a_file_without_these_weights_is_a_sentence(tmp_path, content):
    path = tmp_path / "vgg16.pth"
    if content is None:
        torch.save({"conv.weight": torch.zeros(1)}, path)
    else:
        path.write_bytes(content)
    with pytest.raises(BadInput, match="does not contain weights of VGG16"):
        Vgg16Loss(path)
