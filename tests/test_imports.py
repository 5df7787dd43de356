"""The architecture, enforced: who may import whom, what is imported when, how long code gets."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple

import pytest

import optreg

PACKAGE = Path(optreg.__file__).parent
REPOSITORY = Path(__file__).resolve().parents[1]
MODULES = sorted(PACKAGE.rglob("*.py"))
SCRIPTS = sorted(p for d in ("baselines", "examples") for p in (REPOSITORY / d).rglob("*.py"))

LONGEST_FILE = 500
LONGEST_FUNCTION = 60

# Imports go one way. A part is a module or folder directly below optreg/; a part may always import
# from itself. Left: who imports, right: whom it may import.
FOUNDATION = {
    "errors", "settings", "config", "grid", "image", "intensities", "kernels", "transform",
}  # fmt: skip
STAGES = {"preprocess", "pyramid", "features", "affine", "discrete", "continuous"}
WHOLE = {
    "inputs",
    "prepare",
    "slices",
    "storage",
    "thick",
    "finish",
    "pipeline",
    "start",
    "registration",
}
PIPELINE = {*FOUNDATION, *STAGES, *WHOLE, "io", "metrics", "result"}
PICTURES = {"views", "lines", "plot", "report"}
ALLOWED = {
    "__init__": {
        "config",
        "grid",
        "image",
        "metrics",
        "propagation",
        "registration",
        "result",
        "transform",
        "warmup",
    },
    "errors": set(),
    "settings": {"errors"},
    "config": {"errors", "settings"},
    "grid": {"errors"},
    "kernels": {"errors"},
    "image": {"errors", "grid"},
    "intensities": set(),
    "transform": {"errors", "grid", "image", "intensities", "kernels"},
    **dict.fromkeys(STAGES, FOUNDATION | STAGES),
    "io": {"errors", "grid", "image", "kernels", "transform"},
    "metrics": {"errors", "grid", "image", "io", "kernels", "transform"},
    "result": {*FOUNDATION, "finish", "io", "__init__"},
    **{key: {*FOUNDATION, *STAGES, *WHOLE, "io", "result"} for key in WHOLE},
    "propagation": {*PIPELINE, "batch", "__init__"},
    "warmup": {"config", "image", "metrics", "registration"},
    "demo": {"errors", "grid", "image", "transform"},
    **{
        key: {*PIPELINE, *PICTURES, "batch", "submission", "compare", "__init__"}
        for key in ("batch", "submission", "compare", *PICTURES)
    },
    "cli": {
        *PIPELINE,
        *PICTURES,
        "batch",
        "submission",
        "compare",
        "demo",
        "propagation",
        "warmup",
        "__init__",
    },
    "__main__": {"cli"},
}

# Everything may import these at any time; they are what a GPU node is sure to have.
EVERYWHERE = {"numpy", "scipy"}
# The others only in these files, and (numba in kernels/ apart) only inside functions.
PLACES = {
    "numba": ("kernels/", "cli/"),
    "cupy": ("kernels/",),
    "cupyx": ("kernels/",),
    "nibabel": ("io/",),
    "SimpleITK": ("io/", "affine/mutual_information.py", "transform/"),
    "joblib": ("batch.py", "batch/"),
    "dask": ("batch.py", "batch/"),
    "distributed": ("batch.py", "batch/"),
    "matplotlib": ("plot.py", "plot/", "report/"),
    "contourpy": ("lines.py",),
    "PIL": ("plot.py", "plot/", "report/"),
    "tqdm": ("cli/",),
    "nilearn": ("demo.py",),
    "tomli": ("settings.py",),
}
NEVER_WITH_IMPORT_OPTREG = {*PLACES, *EVERYWHERE, "requests"} - {"tomli"}


class Import(NamedTuple):
    """One imported name: of which module, where, and whether importing the file runs it."""

    module: str
    name: str | None
    line: int
    runs_at_import: bool


@cache
def tree_of(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), str(path))


def imports_of(path: Path) -> Iterator[Import]:
    """All imports of a file but those for type checkers only."""
    folder = path.relative_to(PACKAGE.parent).parent.parts

    def visit(node: ast.AST, runs_at_import: bool) -> Iterator[Import]:
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            nodes: list[ast.AST] = list(node.orelse)
        else:
            nodes = list(ast.iter_child_nodes(node))
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield Import(alias.name, None, node.lineno, runs_at_import)
        elif isinstance(node, ast.ImportFrom):
            base = ".".join(folder[: len(folder) - node.level + 1]) if node.level else ""
            module = ".".join(filter(None, (base, node.module)))
            for alias in node.names:
                yield Import(module, alias.name, node.lineno, runs_at_import)
        inside = isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda))
        for child in nodes:
            yield from visit(child, runs_at_import and not inside)

    yield from visit(tree_of(path), True)


def part_of(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def target_part(item: Import) -> str | None:
    """Part of optreg that an import asks for; None for anything else."""
    first, *rest = item.module.split(".")
    if first != "optreg":
        return None
    if rest:
        return rest[0]
    is_part = item.name is not None and any(
        (PACKAGE / candidate).exists() for candidate in (f"{item.name}.py", str(item.name))
    )
    return item.name if is_part else "__init__"


def relative(path: Path) -> str:
    return path.relative_to(PACKAGE).as_posix()


@pytest.mark.parametrize("path", MODULES, ids=relative)
def test_imports_go_one_way(path):
    part = part_of(path)
    assert part in ALLOWED, f"{part}: say in ALLOWED what it may import"
    wrong = [
        f"line {item.line}: {item.module}"
        for item in imports_of(path)
        if (target := target_part(item)) is not None
        and target != part
        and target not in ALLOWED[part]
    ]
    assert not wrong


@pytest.mark.parametrize("path", MODULES, ids=relative)
def test_private_names_stay_where_they_are(path):
    wrong = []
    for item in imports_of(path):
        names = [*item.module.split("."), item.name or ""]
        private = any(n.startswith("_") and not n.startswith("__") for n in names)
        if private and target_part(item) not in (None, part_of(path)):
            wrong.append(f"line {item.line}: {'.'.join(names)}")
    assert not wrong


@pytest.mark.parametrize("path", MODULES, ids=relative)
def test_other_libraries_are_imported_where_they_belong_and_late(path):
    wrong = []
    for item in imports_of(path):
        library = item.module.split(".")[0]
        if library in sys.stdlib_module_names | EVERYWHERE | {"optreg", "tomllib"}:
            continue
        if not relative(path).startswith(PLACES.get(library, ())):
            wrong.append(f"line {item.line}: {library} does not belong here")
        elif item.runs_at_import and not (library == "numba" and part_of(path) == "kernels"):
            wrong.append(f"line {item.line}: {library} must be imported on first use")
    assert not wrong


@pytest.mark.parametrize("path", [*MODULES, *SCRIPTS], ids=lambda p: f"{p.parent.name}/{p.name}")
def test_files_and_functions_stay_short(path):
    lines = path.read_text(encoding="utf-8").count("\n")
    assert lines <= LONGEST_FILE
    long = []
    for node in ast.walk(tree_of(path)):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            # The docstring is for the reader and may be as long as it takes.
            body = node.body[1:] if ast.get_docstring(node) and len(node.body) > 1 else node.body
            length = (node.end_lineno or 0) - body[0].lineno + 1
            if length > LONGEST_FUNCTION:
                long.append(f"{node.name}: {length} lines")
    assert not long


@pytest.mark.parametrize("path", [p for p in MODULES if part_of(p) != "cli"], ids=relative)
def test_only_the_command_line_prints(path):
    calls = [
        node.lineno
        for node in ast.walk(tree_of(path))
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Name)
        and node.func.id == "print"
    ]
    assert not calls


def run_python(code: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_import_optreg_loads_no_library():
    loaded = set(run_python("import optreg, sys; print(*sys.modules)").split())
    assert not loaded & NEVER_WITH_IMPORT_OPTREG
    assert "optreg" in loaded


@pytest.mark.parametrize("name", [n for n in optreg.__all__ if n != "__version__"])
def test_public_names_need_only_numpy_scipy_and_numba(name):
    optional = sorted(set(PLACES) - {"numba", "tomli"})
    loaded = run_python(
        f"import optreg, sys; assert optreg.{name}.__name__ == '{name}'; print(*sys.modules)"
    )
    assert not set(loaded.split()) & set(optional)


@pytest.mark.slow
def test_two_arrays_are_registered_without_any_optional_library():
    optional = sorted(set(PLACES) - {"numba", "tomli"})
    shape = run_python(
        f"""
import sys
for name in {optional!r}:
    sys.modules[name] = None  # makes "import name" fail
import numpy as np
import optreg
axis = np.linspace(-2, 2, 32)
x, y, z = np.meshgrid(axis, axis, axis, indexing="ij")
fixed = np.maximum(1 - (x**2 + y**2 + z**2) / 2, 0).astype(np.float32)
moving = np.maximum(1 - ((x + 0.2) ** 2 + y**2 + z**2) / 2, 0).astype(np.float32)
print(optreg.register(fixed, moving, preset="fast").disp.shape)
"""
    )
    assert shape.strip() == "(3, 32, 32, 32)"


def test_unknown_names_are_refused():
    assert not hasattr(optreg, "registre")
    assert set(optreg.__all__) <= set(dir(optreg))


def test_rules_name_only_what_could_exist():
    # A typo in a rule would allow nothing and check nothing.
    named = set().union(*ALLOWED.values()) - {"batch", "submission", "compare"}
    existing = {part_of(path) for path in MODULES}
    assert named <= existing
