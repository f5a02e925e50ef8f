import numpy as np
import torch

from haca3_bids.harmonization.device import half_precision
from haca3_bids.harmonization.lean import ChannelsLastNorm, made_lean
from haca3_bids.networks.haca3 import Haca3

CPU = torch.device("cpu")


def test_networks_made_lean_give_the_same_numbers():
    torch.manual_seed(0)
    model, x, theta = Haca3(), torch.rand(1, 1, 224, 224), torch.rand(1, 2)
    with torch.inference_mode():
        lean = made_lean(model, CPU)
        pairs = zip(outputs(model, x, theta), outputs(lean, x, theta), strict=True)
    for old, new in pairs:
        torch.testing.assert_close(new, old, rtol=0, atol=2e-5)
    assert lean.state_dict().keys() == Haca3().state_dict().keys()


def test_networks_made_lean_for_bf16_err_as_little_as_autocast():
    torch.manual_seed(0)
    model, x, theta = Haca3(), torch.rand(2, 1, 224, 224), torch.rand(2, 2)
    with torch.inference_mode():
        exact = outputs(model, x, theta)
        with half_precision(CPU, "bf16"):
            rounded, lean = outputs(model, x, theta), outputs(made_lean(model, CPU, "bf16"), x, theta)
    for one, plain, new in zip(exact, rounded, lean, strict=True):
        assert error(new, one) < 1.5 * error(plain, one) + 1e-3


def error(found, exact):
    """Root mean square, as a fraction of the standard deviation."""
    return ((found.float() - exact).square().mean().sqrt() / exact.std()).item()


def test_lean_networks_give_a_slice_the_same_bits_in_any_batch_and_on_any_number_of_threads():
    torch.manual_seed(0)
    model, x = made_lean(Haca3(), CPU), torch.rand(2, 1, 224, 224)
    threads = torch.get_num_threads()
    with torch.inference_mode():
        together = model.beta_encoder(x)
        torch.set_num_threads(2)
        alone = torch.cat([model.beta_encoder(one) for one in x.split(1)])
    torch.set_num_threads(threads)
    torch.testing.assert_close(alone, together, rtol=0, atol=0)


def test_the_norm_of_images_with_channels_last_is_exact():
    chance = np.random.default_rng(0)
    x = torch.from_numpy(chance.normal(5, 0.5, (2, 3, 224, 224)).astype(np.float32))
    wanted = torch.nn.functional.instance_norm(x.double())
    for stored in (x.clone(), x.contiguous(memory_format=torch.channels_last)):
        found = ChannelsLastNorm(1e-5)(stored)
        torch.testing.assert_close(found.double(), wanted, rtol=0, atol=5e-6)


def outputs(model, x, theta):
    return model.beta_encoder(x), model.theta_encoder(x)[0], model.eta_encoder(x), model.decode(x, theta)
