"""The error for a file that cannot be read as an image: what it is instead, as far as its first bytes and nibabel say.

nibabel, zlib, gzip and numpy each raise their own exceptions.
"""

from contextlib import suppress
from pathlib import Path

from nibabel.filebasedimages import ImageFileError
from nibabel.spatialimages import HeaderDataError

from haca3_bids.errors import DISK_ERRORS, BadInput, Haca3Error, InputOutputFailure, TemporaryFailure

GZIP = b"\x1f\x8b"
DICOM, DICOM_AT = b"DICM", 128  # its mark, and where it is
NIFTI_BEGINS = (b"\x5c\x01\0\0", b"\0\0\x01\x5c", b"\x1c\x02\0\0", b"\0\0\x02\x1c")  # sizes of both headers: 348, 540
COPY = "It may be truncated; copy it again."


def unreadable(path: Path, error: Exception) -> Haca3Error:
    """The error for an unreadable file, from the exception that was raised for it: BadInput if the file is damaged."""
    if isinstance(error, MemoryError):
        return TemporaryFailure(f"Memory ran out while {path.name} was read.", "Allow more memory, or fewer processes.")
    if isinstance(error, OSError) and error.errno in DISK_ERRORS:
        return InputOutputFailure(f"Reading {path.name} failed ({error.strerror}).", "Is the disk mounted?")
    if isinstance(error, PermissionError):
        return BadInput(
            f"There is no permission to read {path.name}.", "Change its permissions (chmod), or ask its owner."
        )
    why, hint = _why(path, error)
    return BadInput(f"{path.name} cannot be read as an image: {why}.", hint)


def _why(path: Path, error: Exception) -> tuple[str, str]:
    beginning = _beginning(path)
    if beginning[DICOM_AT:].startswith(DICOM):
        return "it is a DICOM file", "Convert the series to NIfTI, for example with dcm2niix."
    packed, named = beginning.startswith(GZIP), path.name.endswith(".gz")
    if packed and not named:
        return "it is compressed (gzip), but its name does not end in .gz", f"Rename it to {path.name}.gz."
    if beginning.startswith(NIFTI_BEGINS) and named:
        return "its name ends in .gz, but it is not compressed (gzip)", f"Rename it to {path.name.removesuffix('.gz')}."
    if isinstance(error, HeaderDataError):
        return f"its header is invalid ({' '.join(str(error).split())})", "Convert the scan again, or copy it again."
    if isinstance(error, ImageFileError):
        return "it is not a NIfTI file", "Convert the scan to NIfTI, or copy or download it again."
    return f"it is damaged ({type(error).__name__})", COPY


def _beginning(path: Path) -> bytes:
    with suppress(OSError), path.open("rb") as file:
        return file.read(DICOM_AT + len(DICOM))
    return b""
