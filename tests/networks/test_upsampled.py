import pytest
import torch
from torch.nn import functional

from haca3_bids.networks.upsampled import add_upsampled_, convolved_bilinear, phase_kernels, shuffled_kernels

STORED = [torch.contiguous_format, torch.channels_last]


def of_size(*shape: int, stored: torch.memory_format = torch.contiguous_format) -> torch.Tensor:
    chance = torch.Generator().manual_seed(sum(shape))
    return torch.randn(*shape, generator=chance, dtype=torch.float64).contiguous(memory_format=stored)


@pytest.mark.parametrize("stored", STORED)
def test_repeated_pixels_are_convolved_as_after_upsampling(stored):
    low, weight = of_size(2, 4, 5, 7, stored=stored), of_size(3, 4, 3, 3)
    image = of_size(2, 3, 10, 14)
    wanted = image + functional.conv2d(functional.interpolate(low, scale_factor=2, mode="nearest"), weight, padding=1)
    torch.testing.assert_close(add_upsampled_(image, low, phase_kernels(weight)), wanted)


@pytest.mark.parametrize("size", [(5, 7), (1, 1), (2, 9)])
@pytest.mark.parametrize("stored", STORED)
def test_bilinear_pixels_are_convolved_as_after_upsampling_up_to_every_edge_and_corner(size, stored):
    low, weight, bias = of_size(2, 4, *size, stored=stored), of_size(3, 4, 3, 3), of_size(3, 1, 1, 1).flatten()
    upsampled = functional.interpolate(low, scale_factor=2, mode="bilinear", align_corners=False)
    wanted = functional.conv2d(upsampled, weight, bias, padding=1)
    found = convolved_bilinear(low, weight, bias, shuffled_kernels(weight))
    torch.testing.assert_close(found, wanted)
