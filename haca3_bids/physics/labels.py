"""Anatomies from label maps: BrainWeb's twelve classes, FreeSurfer's and SynthSeg's codes."""

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage, optimize

from haca3_bids.arrays import Array, Mask
from haca3_bids.physics.anatomy import AFFINE, FULL, SHAPE, Anatomy, placed
from haca3_bids.physics.pose import rotation
from haca3_bids.physics.tissues import TISSUES
from haca3_bids.volumes.volume import Volume, reorient

BRAINWEB = {
    1: "csf", 2: "grey", 3: "white", 4: "fat", 5: "muscle", 6: "skin", 7: "bone", 8: "vessel", 9: "fat", 10: "dura",
    11: "marrow",
}  # fmt: skip
FREESURFER = {
    **dict.fromkeys((2, 7, 16, 28, 41, 46, 60, 77, 85, 251, 252, 253, 254, 255, 512), "white"),
    **dict.fromkeys((3, 8, 17, 18, 42, 47, 53, 54, 136, 137, 163, 164), "grey"),
    **dict.fromkeys((10, 11, 12, 13, 26, 49, 50, 51, 52, 58), "deep_grey"),
    **dict.fromkeys((4, 5, 14, 15, 24, 31, 43, 44, 63, 72), "csf"),
    **dict.fromkeys((25, 57), "lesion"),
    **dict.fromkeys((30, 62, 514), "vessel"),
    **dict.fromkeys((502, 516), "marrow"),
    **dict.fromkeys((507, 508, 509, 530), "muscle"),
    506: "eye", 511: "skin", 515: "bone",
}  # fmt: skip
PARCELS = {1: 3, 2: 42, 3: 2, 4: 41, 5: 2, 11: 3, 12: 42, 13: 2, 14: 41}  # thousands of a parcel's code -> its tissue's
BRAINWEB_MM, FREESURFER_MM = 0.5, 1.0
CEREBRAL_CORTEX, CEREBELLAR_CORTEX = (3, 42), (8, 47)
FOLIA, FOLIA_EDGE, FOLIA_WARP = 40, 0.75, 0.06  # sheets per turn, threshold of the wave, random phase (radians)
FOLIA_DEPTH_MM = 2.5  # smallest distance of this fluid from white matter
CORTEX_MM = 3.6  # grey matter further than this from white matter becomes the middle of a sulcus
SKIN_MM = 1.8
BLUR_VOXELS = 0.55  # for partial volume at the borders of 1 mm voxels
COARSE = 4  # voxels: step of the grid for the search of an upright position


def is_brainweb(codes: NDArray[np.floating]) -> bool:
    """Whether codes are BrainWeb's, which end at 11; FreeSurfer's and SynthSeg's do not."""
    return bool(codes.max() <= max(BRAINWEB))


def unknown_share(codes: NDArray[np.floating]) -> float:
    """The fraction of the labelled voxels with unknown codes."""
    found, counts = np.unique(_without_parcels(np.rint(codes[codes != 0]).astype(np.int32)), return_counts=True)
    return float(counts[~np.isin(found, [*BRAINWEB, *FREESURFER])].sum() / max(1, counts.sum()))


def _without_parcels(codes: NDArray[np.int32]) -> NDArray[np.int32]:
    """Parcels of cortex and white matter (aparc+aseg, wmparc, SynthSeg --parc) replaced by their tissue."""
    out = codes.copy()
    for thousands, whole in PARCELS.items():
        out[codes // 1000 == thousands] = whole
    return out


def from_brainweb(labels: Volume, name: str = "") -> Anatomy:
    """A BrainWeb crisp map of 0.5 mm (Aubert-Broche et al. 2006); blocks of 2 x 2 x 2 give partial volume at 1 mm."""
    labels = reorient(labels)
    crisp = labels.data.astype(np.uint8)[tuple(slice(0, n - n % 2) for n in labels.shape)]
    first_block_mm = labels.affine @ [0.5, 0.5, 0.5, 1]
    origin = np.rint(np.linalg.inv(AFFINE) @ first_block_mm)[:3].astype(int).tolist()
    shares = np.zeros((len(TISSUES), *SHAPE), np.uint8)
    for row, tissue in enumerate(TISSUES):
        codes = [code for code, known in BRAINWEB.items() if known == tissue]
        shares[row] = np.rint(placed(_halved(np.isin(crisp, codes)), origin) * FULL)
    return Anatomy(shares, name)


def _halved(mask: Mask) -> Array:
    nx, ny, nz = (n // 2 for n in mask.shape)
    out: Array = mask.reshape(nx, 2, ny, 2, nz, 2).mean(axis=(1, 3, 5), dtype=np.float32)
    return out


def from_freesurfer(labels: Volume, template_brain: Mask, name: str = "") -> Anatomy:
    """A FreeSurfer or SynthSeg map of 1 mm, rigidly aligned with ``template_brain`` (on the grid of ``Anatomy``).

    Sulcal fluid, scalp fat and partial volume are added, which these maps do not have.
    """
    labels = reorient(labels)
    codes = _without_parcels(np.rint(labels.data).astype(np.int32))
    table = np.zeros(max(codes.max(), max(FREESURFER)) + 1, np.uint8)
    for code, tissue in FREESURFER.items():
        table[code] = TISSUES.index(tissue) + 1
    crisp = _with_sulci(table[np.maximum(codes, 0)], np.isin(codes, CEREBRAL_CORTEX))
    crisp = _with_scalp_fat(_with_folia(crisp, np.isin(codes, CEREBELLAR_CORTEX)))
    brain = (codes > 0) & (codes < 100) & (codes != 24)
    matrix, offset = upright(brain, template_brain)
    shares = np.zeros((len(TISSUES), *SHAPE), np.uint8)
    for row in range(len(TISSUES)):
        soft = ndimage.gaussian_filter((crisp == row + 1).astype(np.float32), BLUR_VOXELS)
        shares[row] = np.rint(ndimage.affine_transform(soft, matrix, offset, SHAPE, order=1) * FULL)
    return Anatomy(shares, name)


def _with_sulci(crisp: NDArray[np.uint8], cortex: Mask) -> NDArray[np.uint8]:
    white, deep, csf = (TISSUES.index(name) + 1 for name in ("white", "deep_grey", "csf"))
    depth_mm = ndimage.distance_transform_edt(~np.isin(crisp, (white, deep)))
    return np.where(cortex & (depth_mm > CORTEX_MM), csf, crisp).astype(np.uint8)


def _with_folia(crisp: NDArray[np.uint8], cortex: Mask) -> NDArray[np.uint8]:
    """Fluid between the folia of the cerebellum: sheets from left to right, arranged radially about its centre."""
    if not cortex.any():
        return crisp
    white, csf = (TISSUES.index(name) + 1 for name in ("white", "csf"))
    depth_mm = ndimage.distance_transform_edt(crisp != white)
    back, up = (np.arange(n) - c for n, c in zip(cortex.shape[1:], ndimage.center_of_mass(cortex)[1:], strict=True))
    noise = ndimage.gaussian_filter(np.random.default_rng(1).standard_normal(cortex.shape, np.float32), 4)
    angle = np.arctan2(up[None, :], back[:, None])[None] + FOLIA_WARP * noise / noise.std()
    between = np.cos(FOLIA * angle) > FOLIA_EDGE
    return np.where(cortex & between & (depth_mm > FOLIA_DEPTH_MM), csf, crisp).astype(np.uint8)


def _with_scalp_fat(crisp: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Skin below SKIN_MM becomes fat; soft tissue of face and neck becomes muscle or fat at random."""
    skin, muscle, fat = (TISSUES.index(name) + 1 for name in ("skin", "muscle", "fat"))
    deep = (crisp == skin) & (ndimage.distance_transform_edt(crisp > 0) > SKIN_MM)
    noise = ndimage.gaussian_filter(np.random.default_rng(0).standard_normal(crisp.shape, np.float32), 3)
    fatty = (crisp == muscle) & (noise > 0.4 * noise.std())
    return np.where(deep | fatty, fat, crisp).astype(np.uint8)


def upright(brain: Mask, template_brain: Mask) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The rigid map (matrix, offset) from template voxels to voxels of ``brain`` with the best overlap."""
    moving = ndimage.gaussian_filter(brain.astype(np.float32), COARSE)[::COARSE, ::COARSE, ::COARSE]
    fixed = ndimage.gaussian_filter(template_brain.astype(np.float32), COARSE)[::COARSE, ::COARSE, ::COARSE]
    centre_moving = np.array(ndimage.center_of_mass(moving))
    centre_fixed = np.array(ndimage.center_of_mass(fixed))

    def place(parameters: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        matrix = rotation(parameters[:3] / 10)  # parameters in tenths of radians and coarse voxels, of similar scale
        return matrix, centre_moving + parameters[3:] - matrix @ centre_fixed

    def difference(parameters: NDArray[np.float64]) -> float:
        moved = ndimage.affine_transform(moving, *place(parameters), output_shape=fixed.shape, order=1)
        return float(((moved - fixed) ** 2).mean())

    starts = [np.array([tenths, 0, 0, 0, 0, 0.0]) for tenths in (-5, 0, 5)]
    best = min((optimize.minimize(difference, start, method="Powell") for start in starts), key=lambda found: found.fun)
    matrix, offset = place(best.x)
    return matrix, offset * COARSE
