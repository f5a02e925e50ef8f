"""Effects of a scanner on an image: bias, noise, motion, ghosts, thick slices. They are drawn first, then applied.

Images are arrays of two or three axes in units where white matter is about one.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from haca3_bids.arrays import Array
from haca3_bids.volumes.interpolation import interpolated

SLICE_AXES = 3  # of a volume; an image of two axes is one of its slices


@dataclass(frozen=True)
class Imperfections:
    """The differences between an acquisition and the noise-free image; zero means absent."""

    seed: int
    bias: float = 0.0  # standard deviation of the logarithm of the receive field
    noise: float = 0.0  # standard deviation per channel, relative to white matter
    thickness_voxels: float = 1.0
    thick_axis: int | None = None  # array axis across the slices
    motion_voxels: float = 0.0  # largest displacement
    motion_deg: float = 0.0  # largest rotation in the plane of the first two axes
    motion_events: int = 0
    ghost: float = 0.0  # modulation of the k-space lines
    ghost_period: int = 2  # lines
    phase_axis: int = 0  # along which motion and ghosts spread

    @property
    def severity(self) -> float:
        """The combined severity of noise, motion and ghosting; a scan with about 1 would be repeated.

        One degree moves the scalp by about one voxel of 1 mm.
        """
        motion = max(self.motion_voxels, self.motion_deg) * min(self.motion_events, 4) / 12
        return float(np.sqrt((self.noise / 0.12) ** 2 + motion**2 + (self.ghost / 0.6) ** 2))


def draw_acquisition(rng: np.random.Generator, axes: int = SLICE_AXES) -> Imperfections:
    """An ordinary scan: residual bias, 0.5 to 5 % noise, and thick slices in half of the cases."""
    thick = rng.uniform() < 0.5
    return Imperfections(
        seed=int(rng.integers(2**31)),
        bias=float(rng.uniform(0, 0.10)),
        noise=float(rng.uniform(0.005, 0.05)),
        thickness_voxels=float(rng.uniform(1.5, 4.5)) if thick else 1.0,
        thick_axis=int(rng.integers(axes)) if thick else None,
    )


def draw_artifacts(rng: np.random.Generator) -> Imperfections:
    """A bad scan: one or more of strong noise, motion and ghosts, which spread along one of the first two axes."""
    noisy, moved, ghosted = rng.permutation([True, rng.uniform() < 0.4, rng.uniform() < 0.2])
    return Imperfections(
        seed=int(rng.integers(2**31)),
        bias=float(rng.uniform(0, 0.15)),
        noise=float(rng.uniform(0.05, 0.25) if noisy else rng.uniform(0.005, 0.05)),
        motion_voxels=float(rng.uniform(2, 10)) if moved else 0.0,
        motion_deg=float(rng.uniform(0, 4)) if moved else 0.0,
        motion_events=int(rng.integers(1, 6)) if moved else 0,
        ghost=float(rng.uniform(0.2, 1.0)) if ghosted else 0.0,
        ghost_period=int(rng.integers(2, 8)),
        phase_axis=int(rng.integers(2)),
    )


def acquire(image: Array, imperfections: Imperfections) -> Array:
    """The acquired image: a new array of the same shape, not negative."""
    x, rng = imperfections, np.random.default_rng(imperfections.seed)
    if x.bias:
        image = image * np.exp(x.bias * smooth_field(image.shape, 4, rng))
    if x.motion_events:
        image = moved(image, x.motion_voxels, x.motion_events, x.phase_axis, rng, x.motion_deg)
    if x.ghost:
        image = ghosted(image, x.ghost, x.ghost_period, x.phase_axis)
    if x.thick_axis is not None:
        image = thick_slices(image, x.thick_axis, x.thickness_voxels)
    if x.noise:
        image = rician(image, x.noise, rng)
    return image.astype(np.float32)


def smooth_field(shape: tuple[int, ...], cells: int, rng: np.random.Generator) -> Array:
    """A smooth random field of mean 0 and standard deviation 1, with about ``cells`` periods along each axis."""
    field = rng.standard_normal((cells + 1,) * len(shape)).astype(np.float32)
    for axis, length in enumerate(shape):
        field = interpolated(field, axis, np.linspace(0, cells, length), smooth=True)
    out: Array = (field - field.mean()) / (field.std() + 1e-6)
    return out


def rician(image: Array, std: float, rng: np.random.Generator) -> Array:
    """The magnitude of the image with Gaussian noise in both channels (Gudbjartsson and Patz, MRM 34:910, 1995)."""
    real = image + std * rng.standard_normal(image.shape, np.float32)
    imaginary = std * rng.standard_normal(image.shape, np.float32)
    out: Array = np.hypot(real, imaginary).astype(np.float32)
    return out


def thick_slices(image: Array, axis: int, thickness_voxels: float) -> Array:
    """The image averaged in contiguous slices of ``thickness_voxels`` along ``axis``, and interpolated back."""
    length = image.shape[axis]
    count = max(2, round(length / thickness_voxels))
    empty = np.zeros_like(np.take(image, [0], axis), np.float64)
    below = np.concatenate([empty, np.cumsum(image, axis, dtype=np.float64)], axis)  # the integral up to each edge
    means = np.diff(interpolated(below, axis, np.linspace(0, length, count + 1)), axis=axis) * (count / length)
    back = (np.arange(length) + 0.5) * count / length - 0.5
    return interpolated(means.astype(np.float32), axis, back)


def moved(
    image: Array,
    largest_voxels: float,
    events: int,
    phase_axis: int,
    rng: np.random.Generator,
    largest_deg: float = 0.0,
) -> Array:
    """Rigid motion at ``events`` times: each run of phase-encoding lines belongs to another position of the head.

    Shifts along all axes are exact (phases); rotations in the plane of the first two axes are interpolated.
    """
    lines = np.fft.fftfreq(image.shape[phase_axis])
    order = np.argsort(lines)  # lines are acquired from one edge of k-space to the other
    run = np.zeros(len(lines), int)
    for cut in np.sort(rng.integers(0, len(lines), events)):
        run[order[cut:]] += 1
    shifts = np.concatenate(
        [np.zeros((1, image.ndim)), rng.uniform(-largest_voxels, largest_voxels, (events, image.ndim))]
    )
    turns = (
        np.concatenate([[0.0], rng.uniform(-largest_deg, largest_deg, events)]) if largest_deg else np.zeros(events + 1)
    )
    centre = run[order[len(lines) // 2]]  # the position at the centre of k-space is the reference
    shifts, turns = shifts - shifts[centre], turns - turns[centre]
    spectrum = _in_runs(image, run, turns, phase_axis)
    phase = np.zeros(image.shape)
    along = [-1 if axis == phase_axis else 1 for axis in range(image.ndim)]
    for axis, length in enumerate(image.shape):
        frequency = np.fft.fftfreq(length).reshape([-1 if a == axis else 1 for a in range(image.ndim)])
        phase = phase + frequency * shifts[run, axis].reshape(along)
    return np.abs(np.fft.ifftn(spectrum * np.exp(-2j * np.pi * phase))).astype(np.float32)


def _in_runs(
    image: Array, run: NDArray[np.int_], turns: NDArray[np.float64], phase_axis: int
) -> NDArray[np.complex128]:
    """The spectrum, with the lines of each run taken from the image rotated by the run's angle in degrees."""
    spectrum = np.fft.fftn(image)
    whole: tuple[slice | NDArray[np.int_], ...] = (slice(None),) * image.ndim
    for number in np.flatnonzero(turns):
        lines = (*whole[:phase_axis], np.flatnonzero(run == number), *whole[phase_axis + 1 :])
        turned = ndimage.rotate(image, turns[number], axes=(0, 1), reshape=False, order=1)
        spectrum[lines] = np.fft.fftn(turned)[lines]
    return spectrum


def ghosted(image: Array, strength: float, period: int, phase_axis: int) -> Array:
    """Ghosts from a modulation of every ``period``-th phase-encoding line outside the centre of k-space."""
    length = image.shape[phase_axis]
    spectrum = np.fft.fft(image, axis=phase_axis)
    line = np.rint(np.fft.fftfreq(length) * length).astype(int)
    modulation = np.where((line % period == 0) & (np.abs(line) > 2), 1 - strength, 1.0)
    modulation = modulation.reshape([-1 if axis == phase_axis else 1 for axis in range(image.ndim)])
    return np.abs(np.fft.ifft(spectrum * modulation, axis=phase_axis)).astype(np.float32)
