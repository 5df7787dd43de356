"""What a transform file must be like before ITK is let near it.

ITK takes numbers that are missing for zeros or reads past the end of those that are there, which
gives a wrong transform or ends the process.
"""

from __future__ import annotations

import math
from pathlib import Path

from optreg.errors import InputError
from optreg.io.trial import require_sound_hdf5

__all__ = ["HDF5", "require_complete"]

HDF5 = (".h5", ".hdf5")
_TEXT = (".tfm", ".txt")

# How many parameters a transform of three dimensions has; of others, ITK knows.
_PARAMETERS = {
    "AffineTransform": 12, "CenteredAffineTransform": 15, "CenteredEuler3DTransform": 9,
    "ComposeScaleSkewVersor3DTransform": 12, "Euler3DTransform": 6,
    "FixedCenterOfRotationAffineTransform": 12, "MatrixOffsetTransformBase": 12,
    "QuaternionRigidTransform": 7, "ScaleSkewVersor3DTransform": 15, "ScaleTransform": 3,
    "ScaleVersor3DTransform": 9, "Similarity3DTransform": 7, "TranslationTransform": 3,
    "VersorRigid3DTransform": 6, "VersorTransform": 3,
}  # fmt: skip
_WITHOUT_CENTRE = ("TranslationTransform", "IdentityTransform")


def require_complete(path: Path) -> None:
    """Raise unless all numbers of a transform file are there.

    Raises
    ------
    InputError
        Cut off, damaged, or no transform file of ITK.
    """
    name = path.name.lower()
    if name.endswith(HDF5):
        require_sound_hdf5(path)
    elif name.endswith(_TEXT):
        _check_text(path)
    elif name.endswith(".mat"):
        _check_matlab(path)


def _check_text(path: Path) -> None:
    lines = path.read_bytes().splitlines(keepends=True)
    if not lines[0].startswith(b"#Insight Transform File"):
        raise InputError("file damaged or not what its name says (no transform of ITK)")
    if not lines[-1].endswith(b"\n"):
        raise InputError("file damaged, its last line has no end; copy or export it again")
    names: list[str] = []
    numbers: dict[str, list[int]] = {"Parameters": [], "FixedParameters": []}
    for line in lines[1:]:
        key, _, value = line.decode("latin-1").partition(":")
        if key == "Transform" and not value.strip().startswith("CompositeTransform"):
            names.append(value.strip())
        elif key in numbers:
            numbers[key].append(_count(value))
    counts = list(numbers.values())
    whole = len(names) == len(counts[0]) == len(counts[1])
    if not whole or not all(map(_fits, names, *counts)):
        raise InputError("file damaged, it ends too early; copy or export it again")


def _count(value: str) -> int:
    """How many numbers there are, -1 if anything else is."""
    words = value.split()
    try:
        return len(words) if all(math.isfinite(float(word)) for word in words) else -1
    except ValueError:
        return -1


def _fits(name: str, parameters: int, fixed: int) -> bool:
    """Whether a transform can have so many numbers."""
    kind = name.partition("_")[0]
    if not name.endswith("_3_3"):  # refused, whatever it holds
        return min(parameters, fixed) >= 0
    least = 0 if kind in _WITHOUT_CENTRE else 3
    return parameters == _PARAMETERS.get(kind, max(parameters, 0)) and fixed >= least


def _check_matlab(path: Path) -> None:
    from scipy import io

    try:
        # ITK stores the parameters and the fixed parameters.
        sizes = {name: values.size for name, values in io.loadmat(path, appendmat=False).items()}
    # Whatever a damaged file does to SciPy's reader, it is no file of ITK.
    except Exception as err:
        raise InputError(f"file damaged or not what its name says ({err})") from err
    fixed = sizes.pop("fixed", -1)
    if len(sizes) != 1 or not all(_fits(name, size, fixed) for name, size in sizes.items()):
        raise InputError("file damaged, it ends too early; copy or export it again")
