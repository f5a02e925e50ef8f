"""Theta of the mixture model as the input of small networks."""

from torch import Tensor, nn

DARKEST = 0.05  # added to intensities before taking logarithms, so that darker values differ little


def log_theta(theta: Tensor) -> Tensor:
    """The logarithm of tissue intensities."""
    return (theta.clamp(min=0) + DARKEST).log()


def theta_network(inputs: int, hidden: int, outputs: int) -> nn.Sequential:
    """A network with one hidden layer."""
    return nn.Sequential(nn.Linear(inputs, hidden), nn.ReLU(), nn.Linear(hidden, outputs))
