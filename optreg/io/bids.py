"""Names of files after BIDS: entities of an input, and what derivatives of it are called.

Names of images and segmentations follow BIDS 1.8 (derivatives), those of transforms the draft that
preprocessing pipelines already write (BEP 014): ``from-<space>_to-<space>_mode-image_xfm`` takes
an image from the first space to the second.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from optreg.errors import ConfigError, InputError
from optreg.io.datasets import IMAGE_ENDINGS, Dataset, ImagePair, image_stem

__all__ = [
    "BidsName",
    "dataset_description",
    "labelling_names",
    "pairs_of_dataset",
    "parse_name",
    "registration_names",
    "sidecar",
    "transform_sidecar",
]

BIDS_VERSION = "1.8.0"

# As the specification orders them; from, to and mode are of the draft.
_ORDER = (
    *("sub", "tpl", "ses", "cohort", "sample", "task", "tracksys", "acq", "nuc", "voi", "ce"),
    *("trc", "stain", "rec", "dir", "run", "mod", "echo", "flip", "inv", "mt", "part", "proc"),
    *("hemi", "space", "split", "recording", "chunk", "atlas", "seg", "scale", "res", "den"),
    *("label", "from", "to", "mode", "desc"),
)
# What a derivative says of itself; the rest it takes over from its source.
_OF_DERIVATIVES = frozenset(_ORDER[_ORDER.index("space") :]) - {"split", "recording", "chunk"}
_DATATYPES = {"anat", "func", "dwi", "fmap", "perf", "pet", "mrs", "micr"}
_ENTITY, _SUFFIX = re.compile(r"([a-zA-Z]+)-([0-9a-zA-Z+]+)"), re.compile(r"[a-zA-Z0-9]+")
_DESC = "optreg"


@dataclass(frozen=True)
class BidsName:
    """Name of a file, taken apart.

    Attributes
    ----------
    entities : dict of str to str
        In their order in the name.
    suffix : str
        ``T1w``, ``bold``, ``dseg``, ...
    extension : str
        With its dot: ``.nii.gz``.
    datatype : str
        Folder it is in: ``anat``, ``func``, ...
    """

    entities: dict[str, str]
    suffix: str
    extension: str
    datatype: str = "anat"

    def __str__(self) -> str:
        known = {key: place for place, key in enumerate(_ORDER)}
        # An entity that the specification does not know stays before those of derivatives.
        ordered = sorted(self.entities, key=lambda key: known.get(key, known["hemi"]))
        pairs = [f"{key}-{self.entities[key]}" for key in ordered]
        return "_".join([*pairs, self.suffix]) + self.extension

    @property
    def folder(self) -> str:
        """Where it is in a dataset: ``sub-01/ses-1/anat``."""
        levels = [f"{key}-{self.entities[key]}" for key in ("sub", "ses") if key in self.entities]
        return "/".join([*levels, self.datatype])

    @property
    def source(self) -> dict[str, str]:
        """Entities that derivatives of this file keep."""
        return {key: v for key, v in self.entities.items() if key not in _OF_DERIVATIVES}

    def derivative(self, suffix: str, extension: str, **entities: str) -> str:
        """Path in the dataset of something made from this file."""
        name = BidsName({**self.source, **entities}, suffix, extension, self.datatype)
        return f"{self.folder}/{name}"


def parse_name(path: str | Path, needed: str = "sub") -> BidsName:
    """Entities of a file's name.

    Parameters
    ----------
    path : path
        Its folder tells the datatype.
    needed : str
        Entity it must have: ``sub``, or ``tpl`` for one of a template.

    Raises
    ------
    ConfigError
        The name is not made of ``key-value`` and a suffix, an entity is there twice, or `needed`
        is missing.
    """
    path = Path(path)
    stem, dot, extension = path.name.partition(".")
    *pairs, suffix = stem.split("_")
    matches = [_ENTITY.fullmatch(pair) for pair in pairs]
    found = [(match[1], match[2]) for match in matches if match]
    entities = dict(found)
    if needed not in entities:
        raise ConfigError(
            f"{path}: has no {needed}- in its name, which BIDS names are made from; rename it as "
            f"{needed}-LABEL_{suffix}{dot}{extension}, or go without BIDS names"
        )
    if len(entities) < len(pairs) or not _SUFFIX.fullmatch(suffix):
        raise ConfigError(
            f"{path}: is no BIDS name, as in sub-01_ses-1_T1w.nii.gz; rename it, or go without "
            "BIDS names"
        )
    datatype = path.resolve().parent.name
    return BidsName(
        entities, suffix, dot + extension, datatype if datatype in _DATATYPES else "anat"
    )


def pairs_of_dataset(root: Path, to: Path | None = None, suffix: str | None = None) -> Dataset:
    """Pairs of the anatomical images of a BIDS dataset.

    Parameters
    ----------
    root : Path
    to : Path, optional
        Fixed image of all pairs. Without it, the first T1w image of each subject is that of its
        others, and the pairs of a subject are one group.
    suffix : str, optional
        Only images with this suffix take part, besides those that others are registered to.

    Raises
    ------
    InputError
        There are no such images.
    """
    found: dict[str, list[tuple[Path, BidsName]]] = {}
    for path in sorted(root.glob("sub-*/**/anat/sub-*_*")):
        if path.name.lower().endswith(IMAGE_ENDINGS):
            name = parse_name(path)
            found.setdefault(f"sub-{name.entities['sub']}", []).append((path, name))
    pairs = []
    for subject, images in found.items():
        first = next((path for path, name in images if name.suffix == "T1w"), None)
        fixed = to or first
        for path, name in images:
            if fixed is not None and path != fixed and suffix in (None, name.suffix):
                onto = image_stem(fixed) if to is None else image_stem(to)
                group = subject if to is None else name.suffix
                pairs.append(ImagePair(fixed, path, f"{image_stem(path)}_to_{onto}", group))
    if not pairs:
        what = f"images with the suffix {suffix}" if suffix else "images"
        raise InputError(
            f"{root}: no pairs of {what} in sub-*/anat or sub-*/ses-*/anat; "
            + ("name a fixed image with --to" if to is None else "check the suffix")
        )
    return Dataset(root, root.resolve().name, tuple(pairs))


def registration_names(fixed: str | Path, moving: str | Path) -> dict[str, str]:
    """Paths in a dataset for what ``optreg register`` writes.

    Parameters
    ----------
    fixed, moving : path
        Images; the fixed one of a subject (``sub-``) or of a template (``tpl-``).

    Returns
    -------
    dict of str to str
        File of `optreg register` -> path in the dataset, below the subject of the moving image.
        The space of the fixed image is called after its template, its ``space-`` or its suffix,
        preceded by the entities in which the two images differ: ``T1w``, ``ses1T1w``.

    Raises
    ------
    ConfigError
        See `parse_name`; or nothing in the names tells the images apart.
    """
    is_template = re.search(r"(^|_)tpl-", Path(fixed).name) is not None
    to, source = parse_name(fixed, "tpl" if is_template else "sub"), parse_name(moving)
    there, here = _space(to, source), _space(source, to)
    if there == here:
        raise ConfigError(f"{moving}: BIDS names tell nothing apart from {fixed}; rename one")
    image = {"space": there, "desc": _DESC}
    if "res" in to.entities:
        image["res"] = to.entities["res"]
    onto = {"from": here, "to": there}
    names = {
        "warped.nii.gz": source.derivative(source.suffix, ".nii.gz", **image),
        "warped_labels.nii.gz": source.derivative("dseg", ".nii.gz", **image),
        "affine.tfm": source.derivative("xfm", ".txt", **onto, mode="image", desc="affine"),
        "disp_itk.nii.gz": source.derivative("xfm", ".nii.gz", **onto, mode="image"),
        "inverse_itk.nii.gz": source.derivative(
            "xfm", ".nii.gz", **{"from": there, "to": here, "mode": "image"}
        ),
    }
    return names | _others(source, onto, ("metrics.json", "report.html"))


def labelling_names(target: str | Path) -> dict[str, str]:
    """Paths in a dataset for what ``optreg propagate`` writes; see `registration_names`."""
    source = parse_name(target)
    image = {"space": source.entities.get("space", "orig"), "desc": _DESC}
    names = {
        "labels.nii.gz": source.derivative("dseg", ".nii.gz", **image),
        "labels.tsv": source.derivative("dseg", ".tsv", **image),
        "agreement.nii.gz": source.derivative("agreement", ".nii.gz", **image),
    }
    return names | _others(source, {"space": image["space"]}, ("metrics.json",))


def sidecar(source: str | Path, reference: str | Path, root: str | Path) -> dict[str, Any]:
    """What the JSON file beside a derivative says.

    What is known of the source image is taken over; `reference` is the image whose space it is in.
    """
    beside = Path(source).with_name(Path(source).name.partition(".")[0] + ".json")
    known: Any = {}
    if beside.is_file():
        try:
            known = json.loads(beside.read_text(encoding="utf-8"))
        except ValueError as error:
            raise ConfigError(f"{beside}: is no JSON ({error}); repair or remove it") from error
    sources = [_uri(path, root) for path in dict.fromkeys((str(source), str(reference)))]
    said = {"Sources": sources, "SpatialReference": _uri(reference, root)}
    return {**(known if isinstance(known, dict) else {}), **said}


def transform_sidecar(source: str | Path, target: str | Path, root: str | Path) -> dict[str, Any]:
    """What the JSON file beside a transform says that brings `source` onto `target`."""
    return {
        "Description": (
            "Displacement field as ITK has it (LPS, mm), for resampling the first source onto the "
            "second"
        ),
        "Sources": [_uri(source, root), _uri(target, root)],
    }


def dataset_description(version: str) -> dict[str, Any]:
    """Content of ``dataset_description.json`` of a dataset of results."""
    return {
        "Name": "optreg derivatives",
        "BIDSVersion": BIDS_VERSION,
        "DatasetType": "derivative",
        "GeneratedBy": [{"Name": "optreg", "Version": version}],
    }


def _space(name: BidsName, other: BidsName) -> str:
    """Label of the space of an image, seen from another one."""
    if "tpl" in name.entities:
        return name.entities["tpl"]
    differ: Mapping[str, str] = {}
    if "tpl" not in other.entities:
        differ = {k: v for k, v in name.source.items() if other.entities.get(k) != v}
    prefix = "".join(f"{key}{value}" for key, value in differ.items())
    return prefix + name.entities.get("space", name.suffix)


def _others(source: BidsName, entities: Mapping[str, str], more: tuple[str, ...]) -> dict[str, str]:
    """Names of what BIDS has none for, after its pattern; the summary is the last to be written."""
    names = {}
    for file in (*more, "config.toml", "overview.png", "result.json"):
        stem, _, extension = file.partition(".")
        names[file] = source.derivative(stem, f".{extension}", **entities, desc=_DESC)
    return names


def _uri(path: str | Path, root: str | Path) -> str:
    """BIDS URI of a file in the dataset at `root`, else that of the file."""
    path, root = Path(path).resolve(), Path(root).resolve()
    if path.is_relative_to(root):
        return f"bids::{path.relative_to(root).as_posix()}"
    return path.as_uri()
