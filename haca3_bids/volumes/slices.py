"""Slices in three orientations, as the networks see them; they are views of the volume."""

from typing import Any

from numpy.typing import NDArray

ORIENTATIONS = ("axial", "coronal", "sagittal")  # the order of the fusion network's channels


def cut(volume: NDArray[Any], orientation: str) -> NDArray[Any]:
    """All slices of a volume with axes (x, y, z): a view of shape (slices, rows, columns).

    Axial slices are indexed z, with rows y and columns x; coronal y, rows z from the top, columns x; sagittal x,
    rows z from the top, columns y. Writing to the view writes to the volume.
    """
    if orientation == "axial":
        return volume.transpose(2, 1, 0)
    if orientation == "coronal":
        return volume.transpose(1, 2, 0)[:, ::-1, :]
    if orientation == "sagittal":
        return volume.transpose(0, 2, 1)[:, ::-1, :]
    raise ValueError(f"{orientation} is none of {ORIENTATIONS}.")
