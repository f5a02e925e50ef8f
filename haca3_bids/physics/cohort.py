"""A cohort: people at one or several sites, and their scans at each visit."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from haca3_bids.arrays import Array
from haca3_bids.physics.anatomy import AFFINE, SHAPE, Anatomy
from haca3_bids.physics.coverage import FieldOfView, cropped, draw_field_of_view
from haca3_bids.physics.people import Person
from haca3_bids.physics.pose import random_pose
from haca3_bids.physics.protocols import draw_site
from haca3_bids.physics.render import render, tissue_weights
from haca3_bids.physics.scanner import Imperfections, acquire, draw_acquisition, draw_artifacts
from haca3_bids.physics.signal import Protocol
from haca3_bids.volumes.volume import Volume

SLICE_AXIS = 2  # across the slices of a scan
SLAB = 16  # slices rendered at a time, to keep memory small
THICKNESSES_MM = (1, 1, 2, 3)  # slice thicknesses of sites
SCALES = (150.0, 2500.0)  # range of white-matter intensities: scanners have no unit
BAD_SHARE, CUT_SHARE = 0.3, 0.2  # with artifacts: fractions of the scans that are degraded, and cropped


@dataclass(frozen=True)
class Site:
    """A scanner: a protocol and a slice thickness (along axis 2, mm) for each contrast, and its intensity scale."""

    name: str
    protocols: dict[str, Protocol]
    thickness_mm: dict[str, int]
    scale: float


@dataclass(frozen=True)
class Course:
    """The times of the visits, in years after the first one, and whether scans can have artifacts."""

    years: tuple[float, ...] = (0.0,)
    artifacts: bool = False


@dataclass(frozen=True)
class Session:
    """One person at one site on one day; ``pose`` (4, 4) brings millimetres of MNI space to those of the scanner."""

    person: Person
    site: Site
    label: str
    years: float  # after the first visit
    anatomy: Anatomy
    pose: NDArray[np.float64]

    @property
    def age(self) -> float:
        """Years."""
        return round(self.person.life.age + self.years, 1)


@dataclass(frozen=True)
class Scan:
    """One image of a session, its artifacts, and the ground truth on the grid of the anatomy."""

    contrast: str
    image: Volume
    truth: Volume  # noise-free, white matter = 1, 1 mm, head upright in MNI position
    how: Imperfections  # without thick slices, which are a property of the site
    view: FieldOfView  # in whole slices


def draw_sites(count: int, contrasts: Sequence[str], rng: np.random.Generator) -> list[Site]:
    """Sites named A, B, ... with protocols from published ranges; T1w is always acquired at 1 mm."""
    sites = []
    for index in range(count):
        protocols = draw_site(rng, tuple(contrasts))
        thickness = {c: 1 if c == "T1w" else int(rng.choice(THICKNESSES_MM)) for c in contrasts}
        scale = float(np.exp(rng.uniform(*np.log(SCALES))))
        name = chr(ord("A") + index) if index < 26 else f"S{index + 1}"
        sites.append(Site(name, protocols, thickness, scale))
    return sites


def sessions(
    person: Person, sites: Sequence[Site], rng: np.random.Generator, course: Course = Course()
) -> Iterator[Session]:
    """Every visit of a person to every site in order of time, each with a new pose and the anatomy at that time."""
    for visit, years in enumerate(course.years):
        anatomy = person.at(years)
        for site in sites:
            label = f"site{site.name}" + (f"{visit + 1:02d}" if len(course.years) > 1 else "")
            yield Session(person, site, label, years, anatomy, random_pose(rng))


def scans(session: Session, rng: np.random.Generator, bad: np.random.Generator | None = None) -> Iterator[Scan]:
    """The images of a session; with the generator ``bad``, some are degraded or cropped."""
    person, site = session.person, session.site
    for contrast, protocol in site.protocols.items():
        truth = rendered(session.anatomy, tissue_weights(protocol, person.deviations), person.local)
        how, view = replace(draw_acquisition(rng), thick_axis=None), FieldOfView()
        if bad is not None:
            how, view = _maybe_bad(how, bad)
        whole = _acquired(truth, how, site.thickness_mm[contrast])
        image = cropped(whole, view)
        image = Volume(image.data * np.float32(site.scale), session.pose @ image.affine)
        yield Scan(contrast, image, Volume(truth, AFFINE), how, view.in_voxels_of(whole))


def _maybe_bad(how: Imperfections, rng: np.random.Generator) -> tuple[Imperfections, FieldOfView]:
    degraded, cut = rng.uniform(size=2) < (BAD_SHARE, CUT_SHARE)
    worse, view = draw_artifacts(rng), draw_field_of_view(rng)
    return worse if degraded else how, view if cut else FieldOfView()


def rendered(anatomy: Anatomy, weights: Array, local: Array) -> Array:
    """The noise-free volume of an anatomy, white matter = 1, shape (192, 224, 192)."""
    slabs = range(0, SHAPE[2], SLAB)
    parts = [render(anatomy.shares[..., z : z + SLAB], weights, local[..., z : z + SLAB]) for z in slabs]
    return np.concatenate(parts, axis=2)


def _acquired(truth: Array, how: Imperfections, thickness_mm: int) -> Volume:
    """The volume with slices of ``thickness_mm`` along axis 2, and the imperfections ``how``."""
    affine = AFFINE.copy()
    if thickness_mm > 1:
        count = truth.shape[2] // thickness_mm
        truth = truth[..., : count * thickness_mm].reshape(*truth.shape[:2], count, thickness_mm).mean(axis=3)
        affine[:, 3] += affine[:, 2] * (thickness_mm - 1) / 2
        affine[:, 2] *= thickness_mm
    return Volume(acquire(truth, how), affine)
