"""Lists of pairs: dataset JSON of LUMIR and Learn2Reg, evaluation configurations, CSV tables.

A list is read with all its images' headers, and everything that is wrong with it is said at once:
a batch of thousands of pairs shall not end at the last one because of a name.
"""

from __future__ import annotations

import difflib
import json
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

from optreg.errors import InputError
from optreg.io.files import PathLike, check_readable
from optreg.io.nifti import read_shape
from optreg.io.tables import read_rows

__all__ = [
    "IMAGE_ENDINGS",
    "Dataset",
    "DatasetError",
    "ImagePair",
    "image_stem",
    "read_dataset",
]

# Person and contrast at the end of a file name of the challenge.
_NUMBERED = re.compile(r"([^_]{4})_(\d{4})\.nii\.gz")
_SHORT_ANYWAY = ("0000", "0001")
_BESIDE = ("fixed_mask", "moving_mask", "weights", "fixed_labels", "moving_labels", "init")
_KEYS = ("fixed", "moving", "name", "group", *_BESIDE)
IMAGE_ENDINGS = (".nii.gz", ".nii", ".mha", ".nrrd", ".mgz", ".mgh")


class DatasetError(InputError):
    """A list of pairs that cannot be used.

    Attributes
    ----------
    problems : tuple of str
        Every one that was found.
    """

    def __init__(self, path: PathLike, problems: list[str]):
        self.problems = tuple(problems)
        count = f"{len(problems)} problems, the first: " if len(problems) > 1 else ""
        super().__init__(f"{path}: {count}{problems[0]}")


@dataclass(frozen=True)
class ImagePair:
    """A fixed and a moving image, and the name of the field between them.

    Attributes
    ----------
    fixed, moving : Path
    name : str
        Of the field, without its ending: ``disp_FFFF_MMMM`` in the challenge, with the contrasts
        (``disp_FFFF_ffff_MMMM_mmmm``) where they differ. The challenge keeps the short name for
        fixed 0000 and moving 0001.
    group : str
        Part of the dataset: as the list says (``group``), else "multi-modal" where the contrasts
        differ, else "".
    fixed_mask, moving_mask, weights : Path, optional
        As in `optreg.register`.
    init : Path or str, optional
        Where to start, as in `optreg.register`: a file, or what to align by.
    fixed_labels, moving_labels : Path, optional
        Label maps to be judged by.
    """

    fixed: Path
    moving: Path
    name: str
    group: str = ""
    fixed_mask: Path | None = None
    moving_mask: Path | None = None
    weights: Path | None = None
    init: Path | str | None = None
    fixed_labels: Path | None = None
    moving_labels: Path | None = None

    @property
    def file_name(self) -> str:
        """Of the field in a submission."""
        return f"{self.name}.nii.gz"

    @property
    def files(self) -> dict[str, Path]:
        """All files that are given, by what they are."""
        given = {role: getattr(self, role) for role in ("fixed", "moving", *_BESIDE)}
        return {role: path for role, path in given.items() if isinstance(path, Path)}


@dataclass(frozen=True)
class Dataset:
    """Pairs that belong together.

    Attributes
    ----------
    path : Path
        Where the list was read.
    name : str
        As the list says, else the name of its file.
    pairs : tuple of ImagePair
    shape : tuple of 3 int, or None
        Of every image, where the list states it.
    labels : tuple of int, or None
        To be judged, where the list is an evaluation configuration.
    metrics : dict of str to str
        What an evaluation configuration asks for ("dice", "hd95", "tre", "ndv", "sdlogj"), and
        what it calls that.
    """

    path: Path
    name: str
    pairs: tuple[ImagePair, ...]
    shape: tuple[int, int, int] | None = None
    labels: tuple[int, ...] | None = None
    metrics: dict[str, str] = field(default_factory=dict)


def read_dataset(
    path: PathLike,
    images: PathLike | None = None,
    *,
    split: str | None = None,
    anywhere: bool = False,
) -> Dataset:
    """Read and check a list of pairs.

    Parameters
    ----------
    path : path
        ``.json``: dataset of LUMIR / Learn2Reg (``validation: [{fixed, moving}, ...]``,
        ``tensorImageShape``) or evaluation configuration (``eval_pairs``, ``expected_shape``).
        ``.csv``: a table with columns ``fixed``, ``moving`` and perhaps ``name``, ``group``,
        ``fixed_mask``, ``moving_mask``, ``weights``, ``init``, ``fixed_labels``,
        ``moving_labels`` (see `ImagePair`), which entries of a JSON may have too.
    images : path, optional
        Folder that the names in the list are relative to; without it, that of the list.
    split : str, optional
        Which list of a JSON file; without it ``eval_pairs``, or ``validation`` where that is not
        there. A table is one list.
    anywhere : bool
        Whether names may lead out of the folder, as in a list that one has written oneself.

    Raises
    ------
    DatasetError
        Everything that is wrong: unreadable list, names that lead out of the folder, missing
        files, files that are no image, other shapes than stated, two pairs with one name, columns
        or keys that are not known.
    """
    path = check_readable(path)
    root = Path(images) if images is not None else path.parent
    if not root.is_dir():
        raise DatasetError(path, [f"{root} is not a folder"])
    read = _read_table if path.suffix.lower() == ".csv" else _read_json
    content = read(path, split)
    entries = content.pop("entries")
    problems: list[str] = list(_unknown_keys(entries))
    pairs = []
    for number, entry in enumerate(entries, start=1):
        try:
            pairs.append(_pair(entry, root, anywhere))
        except ValueError as error:
            problems.append(f"pair {number}: {error}")
    problems += _shared_names(pairs)
    problems += _unusable_images(pairs, content["shape"])
    if not pairs and not problems:
        problems = ["no pairs"]
    if problems:
        raise DatasetError(path, problems)
    return Dataset(path, pairs=tuple(pairs), **content)


def _read_json(path: Path, split: str | None) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise DatasetError(path, [f"is no JSON ({error})"]) from error
    if not isinstance(content, dict):
        raise DatasetError(path, ["is a JSON file but holds no dataset"])
    key = split or ("eval_pairs" if "eval_pairs" in content else "validation")
    entries = content.get(key)
    if not isinstance(entries, list):
        lists = [k for k, v in content.items() if isinstance(v, list) and k != "evaluation_methods"]
        raise DatasetError(path, [f"has no list '{key}'; there are: {', '.join(lists) or 'none'}"])
    labels, metrics = None, {}
    try:
        sizes = content.get("tensorImageShape") or {}
        stated = content.get("expected_shape") or sizes.get("0")
        for method in content.get("evaluation_methods") or []:
            if isinstance(method, dict) and "metric" in method:
                metrics[str(method["metric"])] = str(method.get("name") or method["metric"])
                labels = method.get("labels", labels)
        shape = None if stated is None else tuple(int(n) for n in list(stated)[:3])
        labels = None if labels is None else tuple(int(n) for n in labels)
    except (AttributeError, TypeError, ValueError, OverflowError) as error:
        raise DatasetError(
            path, [f"shape, labels or metrics are not what they should be ({error})"]
        ) from error
    name = str(content.get("name") or path.stem)
    found = {"entries": entries, "name": name, "shape": shape}
    return {**found, "labels": labels, "metrics": metrics}


def _read_table(path: Path, split: str | None) -> dict[str, Any]:
    if split is not None:
        raise DatasetError(path, [f"is a table, which has no list '{split}'; name no split"])
    try:
        rows = read_rows(path, {"fixed", "moving"})
    except InputError as error:
        raise DatasetError(path, [str(error).removeprefix(f"{path}: ")]) from error
    return {"entries": rows, "name": path.stem, "shape": None}


def _unknown_keys(entries: list[Any]) -> Iterator[str]:
    """Columns, or keys of entries, that nothing is done with: each once."""
    keys = dict.fromkeys(key for entry in entries if isinstance(entry, dict) for key in entry)
    if None in keys:
        yield "a row has more cells than the header"
    for key in [key for key in keys if key and key not in _KEYS]:
        close = difflib.get_close_matches(key, _KEYS, n=1)
        meant = f"; did you mean '{close[0]}'?" if close else ""
        yield f"'{key}' is not known{meant} (known are {', '.join(_KEYS)})"


def _pair(entry: Any, root: Path, anywhere: bool) -> ImagePair:
    """Pair of an entry; ValueError for one that cannot be meant."""
    if not isinstance(entry, dict) or not {"fixed", "moving"} <= entry.keys():
        raise ValueError("needs 'fixed' and 'moving'")

    def file(text: Any) -> Path:
        return _anywhere(text, root) if anywhere else _inside(text, root)

    fixed, moving = (file(entry[role]) for role in ("fixed", "moving"))
    name = str(entry.get("name") or "").strip() or _field_name(fixed, moving)
    if not re.fullmatch(r"[\w.+-]+", name) or name.startswith("."):
        raise ValueError(f"name '{name}' is no file name of letters, digits, '_', '-', '.'")
    contrasts = [match[2] for p in (fixed, moving) if (match := _NUMBERED.search(p.name))]
    group = "multi-modal" if len(set(contrasts)) == 2 else ""
    group = str(entry.get("group") or "").strip() or group
    given = {key: entry[key] for key in _BESIDE if str(entry.get(key) or "").strip()}
    if ("fixed_labels" in given) != ("moving_labels" in given):
        raise ValueError("needs both label maps or none")
    more: dict[str, Any] = {
        k: str(v).strip() if k == "init" and _is_word(v) else file(v) for k, v in given.items()
    }
    return ImagePair(fixed, moving, name, group, **more)


def _is_word(text: Any) -> bool:
    """Whether this names a way to align instead of a file, which has an ending or a folder."""
    return isinstance(text, str) and not set("./\\") & set(text)


def _anywhere(text: Any, root: Path) -> Path:
    """Path, relative to the root or absolute; ValueError for anything that is none."""
    if not isinstance(text, str) or not text.strip():
        raise ValueError(f"'{text}' is no file name")
    return root / Path(text.strip()).expanduser()


def _inside(text: Any, root: Path) -> Path:
    """Path below the root; ValueError for anything that leads elsewhere."""
    if not isinstance(text, str) or not text.strip():
        raise ValueError(f"'{text}' is no file name")
    relative = PurePosixPath(text.strip().replace("\\", "/"))
    if relative.is_absolute() or ".." in relative.parts or ":" in relative.parts[0]:
        raise ValueError(f"'{text}' leads out of {root}")
    path = root / relative
    if not path.resolve().is_relative_to(root.resolve()):
        raise ValueError(f"'{text}' is a link that leads out of {root}")
    return path


def _field_name(fixed: Path, moving: Path) -> str:
    numbers = [_NUMBERED.search(p.name) for p in (fixed, moving)]
    if numbers[0] is None or numbers[1] is None:
        return f"disp_{image_stem(fixed)}_{image_stem(moving)}"
    (person_f, contrast_f), (person_m, contrast_m) = (n.groups() for n in numbers if n)
    if contrast_f == contrast_m or (contrast_f, contrast_m) == _SHORT_ANYWAY:
        return f"disp_{person_f}_{person_m}"
    return f"disp_{person_f}_{contrast_f}_{person_m}_{contrast_m}"


def image_stem(path: Path) -> str:
    """Name of a file without the ending of an image."""
    ending = next((e for e in IMAGE_ENDINGS if path.name.lower().endswith(e)), "")
    return path.name[: len(path.name) - len(ending)]


def _shared_names(pairs: list[ImagePair]) -> Iterator[str]:
    for name, count in Counter(p.name for p in pairs).items():
        if count > 1:
            yield f"{count} pairs would be written to {name}.nii.gz"


def _unusable_images(pairs: list[ImagePair], shape: Any) -> Iterator[str]:
    """Problems of the images and what belongs to them, each once."""
    for path in dict.fromkeys(p for pair in pairs for r, p in pair.files.items() if r in _BESIDE):
        try:
            check_readable(path)
        except InputError as error:
            yield str(error)
    for path in dict.fromkeys(p for pair in pairs for p in (pair.fixed, pair.moving)):
        try:
            found = read_shape(path)
        except InputError as error:
            yield str(error)
            continue
        if shape is not None and found is not None and found[:3] != shape:
            yield f"{path}: shape {found}, but the list states {shape}"
