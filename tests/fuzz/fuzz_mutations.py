"""Damage to files: what copying, disks and other programs do, and what somebody hostile would."""

from __future__ import annotations

import gzip
import io
import re
import zipfile
from collections.abc import Callable

import nibabel as nib
import numpy as np

__all__ = ["damaged"]

_Bytes = bytearray
_Random = np.random.Generator

_NUMBER = re.compile(rb"[-+]?\d+(?:\.\d*)?(?:[eE][-+]?\d+)?")
_WORD = re.compile(rb'"[^"\n]*"|[A-Za-z_]+')
_TEXT_START = 4000
_BAD_NUMBERS = (
    b"0", b"-1", b"1", b"2", b"3", b"7", b"nan", b"inf", b"-inf", b"1e30", b"1e-30", b"1e400",
    b"0.5", b"255", b"32767", b"65536", b"2147483648", b"-2147483649", b"99999999999999999999",
    b"", b"x", b"0x10", b"1 2", b"1,2", b"null", b"true", b"[]", b"{}", b'"a"',
)  # fmt: skip
_BAD_WORDS = (
    b"", b"x", b"None", b"null", b"..", b"/etc/passwd", b"LOCAL", b"LIST", b"raw", b"gzip",
    b"hex", b"MET_FLOAT", b"MET_DOUBLE_ARRAY", b"float", b"block", b"NDims", b"sizes", b'""',
    b'"../../x"', b'"\\u0000"', b"\xff\xfe", b"7", b"[", b"{", b"True", b"\0",
)  # fmt: skip
_BAD_VALUES = (0, 1, -1, 2, 3, 7, 127, 255, 32767, -32768, 65535, 2**31 - 1, -(2**31), 2**32 - 1)
_BAD_FLOATS = (np.nan, np.inf, -np.inf, 0.0, -0.0, 1e-30, 1e30, -1e38, 0.5, 1.5e300)


def damaged(content: bytes, name: str, rng: _Random) -> bytes:
    """A damaged form of the content of a file; damage within a container keeps that whole."""
    if rng.random() < 0.5:
        if name.endswith((".nii.gz", ".mgz")):
            plain = name.removesuffix(".gz").replace(".mgz", ".mgh")
            inner = damaged(gzip.decompress(content), plain, rng)
            return gzip.compress(inner, 1)
        if name.endswith((".npz", ".zip")):
            return _inside_archive(content, rng)
    out = bytearray(content)
    kinds = _kinds(content, name)
    for _ in range(rng.choice([1, 1, 2, 4])):
        if out:
            kinds[rng.integers(len(kinds))](out, rng)
    return bytes(out)


def _kinds(content: bytes, name: str) -> list[Callable[[_Bytes, _Random], None]]:
    """Ways to damage such a file, the apt ones several times."""
    common = [_flip, _flip, _flip, _overwrite, _overwrite, _cut, _double, _remove, _insert, _swap]
    if name.endswith(".nii"):
        return [*common, *[_nifti_field] * 6]
    start = content[:200]
    if sum(32 <= b < 127 or b in b"\r\n\t" for b in start) > 0.9 * len(start):
        return [*common, *[_number] * 5, *[_word] * 3, _line, _line]
    return common


def _inside_archive(content: bytes, rng: _Random) -> bytes:
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        members = {info.filename: archive.read(info) for info in archive.infolist()}
    names = sorted(members)
    victim = names[rng.integers(len(names))]
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in names:
            inner = members[name]
            archive.writestr(name, damaged(inner, name, rng) if name == victim else inner)
    return packed.getvalue()


def _place(out: _Bytes, rng: _Random, room: int = 1) -> int:
    """A position, in the first bytes more often than not: that is where headers are."""
    last = max(len(out) - room, 0)
    if rng.random() < 0.6:
        last = min(last, int(rng.choice([32, 128, 400, 1200])))
    return int(rng.integers(0, last + 1))


def _span(out: _Bytes, rng: _Random) -> slice:
    start = _place(out, rng)
    return slice(start, start + int(rng.choice([1, 2, 4, 8, 16, 64, 500])))


def _flip(out: _Bytes, rng: _Random) -> None:
    for _ in range(rng.choice([1, 1, 2, 6])):
        out[_place(out, rng)] ^= int(rng.integers(1, 256))


def _overwrite(out: _Bytes, rng: _Random) -> None:
    """A binary number that means trouble where there may have been one."""
    order = rng.choice(["<", ">"])
    if rng.random() < 0.7:
        kind = np.dtype(f"{order}{rng.choice(['i2', 'i4', 'i8', 'u4'])}")
        value = np.array(_BAD_VALUES[rng.integers(len(_BAD_VALUES))]).astype(kind)
    else:
        value = np.array(_BAD_FLOATS[rng.integers(len(_BAD_FLOATS))])
        with np.errstate(over="ignore"):
            value = value.astype(f"{order}{rng.choice(['f4', 'f8'])}")
    start = _place(out, rng, value.nbytes) // 2 * 2
    out[start : start + value.nbytes] = value.tobytes()


def _cut(out: _Bytes, rng: _Random) -> None:
    del out[_place(out, rng) if rng.random() < 0.5 else int(rng.integers(0, len(out))) :]


def _double(out: _Bytes, rng: _Random) -> None:
    span = _span(out, rng)
    out[span.start : span.start] = out[span] * int(rng.integers(1, 4))


def _remove(out: _Bytes, rng: _Random) -> None:
    del out[_span(out, rng)]


def _insert(out: _Bytes, rng: _Random) -> None:
    size = int(rng.choice([1, 4, 16, 300]))
    block = [bytes(size), b"\xff" * size, rng.bytes(size)][rng.integers(3)]
    start = _place(out, rng)
    out[start:start] = block


def _swap(out: _Bytes, rng: _Random) -> None:
    first, second = _span(out, rng), _span(out, rng)
    out[first], out[second] = bytes(out[second]), bytes(out[first])


def _nifti_field(out: _Bytes, rng: _Random) -> None:
    second = out[:4] in (b"\x1c\x02\0\0", b"\0\0\x02\x1c")
    fields = (nib.Nifti2Header if second else nib.Nifti1Header).template_dtype.fields
    numbers = [name for name, (dtype, _) in fields.items() if dtype.base.kind in "iuf"]
    dtype, offset = fields[numbers[rng.integers(len(numbers))]][:2]
    item = dtype.base
    if dtype.shape:
        offset += item.itemsize * int(rng.integers(dtype.shape[0]))
    choices = _BAD_FLOATS if item.kind == "f" else (*_BAD_VALUES, *range(10), 1024, 1007, 2006)
    with np.errstate(over="ignore"):
        value = np.array(choices[rng.integers(len(choices))]).astype(item)
    if offset + item.itemsize <= len(out):
        out[offset : offset + item.itemsize] = value.tobytes()


def _replace(out: _Bytes, rng: _Random, what: re.Pattern[bytes], by: tuple[bytes, ...]) -> None:
    found = list(what.finditer(bytes(out[:_TEXT_START])))
    if found:
        one = found[rng.integers(len(found))]
        out[one.start() : one.end()] = by[rng.integers(len(by))]


def _number(out: _Bytes, rng: _Random) -> None:
    _replace(out, rng, _NUMBER, _BAD_NUMBERS)


def _word(out: _Bytes, rng: _Random) -> None:
    words = tuple(_WORD.findall(bytes(out[:_TEXT_START])))
    _replace(out, rng, _WORD, (*_BAD_WORDS, *words[:20]))


def _line(out: _Bytes, rng: _Random) -> None:
    """Leave a line out, or have it twice."""
    lines = bytes(out).split(b"\n")
    which = int(rng.integers(min(len(lines), 30)))
    lines[which : which + 1] = [] if rng.random() < 0.5 else [lines[which]] * 2
    out[:] = b"\n".join(lines)
