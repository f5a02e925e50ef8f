"""People: an anatomy with individual tissue values, texture, age and lesions, and its change over the years."""

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from haca3_bids.arrays import Array
from haca3_bids.physics.ageing import AGE_OF_MAPS, Ageing, aged, draw_ageing
from haca3_bids.physics.anatomy import FULL, SHAPE, Anatomy
from haca3_bids.physics.lesions import Lesion, draw_lesions, with_lesions
from haca3_bids.physics.render import texture
from haca3_bids.physics.tissues import person_deviations

OLDEST = 85.0  # years: the rates of ``ageing`` are plausible up to here, and BIDS does not allow ages above 89


@dataclass(frozen=True)
class Life:
    """Age, ageing and lesions of a person, drawn independently of the tissue values."""

    age: float  # years, at the first visit
    ageing: Ageing
    lesions: tuple[Lesion, ...] = ()

    def __post_init__(self) -> None:
        if not AGE_OF_MAPS <= self.age <= OLDEST:
            raise ValueError(f"age {self.age:g} is not between {AGE_OF_MAPS:g} and {OLDEST:g} years")


@dataclass(frozen=True)
class Person:
    """A person to be scanned: ``anatomy`` is the map at AGE_OF_MAPS, without lesions."""

    label: str
    anatomy: Anatomy
    deviations: Array  # of tissue values, (3, tissues), see ``tissues``
    local: Array  # texture, (3, x, y, z), see ``render``
    life: Life

    def at(self, years: float) -> Anatomy:
        """The anatomy ``years`` after the first visit, with its lesions at that time."""
        anatomy = self.anatomy
        if self.life.lesions:
            anatomy = with_lesions(anatomy, self.life.lesions, years)
        return aged(anatomy, self.life.ageing, self.life.age + years - AGE_OF_MAPS)


def draw_life(anatomy: Anatomy, ages: tuple[float, float], lesions: bool, rng: np.random.Generator) -> Life:
    """A random age between ``ages``, random rates of ageing, and random lesions if requested."""
    age = float(rng.uniform(*ages))
    return Life(round(age, 1), draw_ageing(rng), draw_lesions(anatomy, rng) if lesions else ())


def draw_person(label: str, anatomy: Anatomy, life: Life, rng: np.random.Generator) -> Person:
    """A person with this anatomy and life, and random tissue values and texture."""
    deviations = person_deviations(rng)
    return Person(label, anatomy, deviations, texture(SHAPE, rng), life)


def another_person(anatomy: Anatomy, rng: np.random.Generator) -> Anatomy:
    """Another person with the same labels: the anatomy with a random smooth deformation and scaling."""
    grid = np.stack(np.meshgrid(*(np.arange(n, dtype=np.float32) for n in SHAPE), indexing="ij"))
    centre = np.array(SHAPE, np.float32).reshape(3, 1, 1, 1) / 2
    scale = np.exp(rng.normal(0, 0.04, (3, 1, 1, 1))).astype(np.float32)
    grid = (grid - centre) * scale + centre
    for axis in range(3):
        coarse = rng.normal(0, 2.5, (7, 8, 7)).astype(np.float32)  # millimetres
        zoom = [n / c for n, c in zip(SHAPE, coarse.shape, strict=True)]
        grid[axis] += ndimage.zoom(coarse, zoom, order=1, grid_mode=True, mode="nearest")
    moved = [ndimage.map_coordinates(share.astype(np.float32), grid, order=1) for share in anatomy.shares]
    total = np.maximum(sum(moved) / FULL, 1)
    return Anatomy(np.stack([np.rint(share / total).astype(np.uint8) for share in moved]), f"{anatomy.name}-deformed")
