"""The order of the rooms: imports point down only, and heavy libraries stay in theirs."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import crossfm

SOURCE = Path(crossfm.__file__).parent

LEVEL = {
    "errors": 0,
    "atomic": 0,
    "core": 1,
    "data": 1,
    "kernels": 1,
    "metrics": 1,
    "scoring": 2,
    "io": 2,
    "datasets": 2,
    "designs": 2,
    "plots": 2,
    "export": 2,
    "keras": 2,
    "solvers": 3,
    "neural": 3,
    "estimators": 4,
    "distributed": 4,
    "recommender": 5,
    "serving": 6,
    "models": 6,
    "cli": 7,
}

# Rooms of one level do not see each other, but for these: kernels are typed by Rows and parameters, text files
# are read by the compiled parser, and a saved model may be any of the upper rooms' classes. Servers load saved models.
BESIDE = {
    ("kernels", "core"),
    ("kernels", "data"),
    ("data", "kernels"),
    ("data", "core"),
    ("serving", "models"),
}

HEAVY = {
    "torch": {"neural"},
    "lightning": {"neural"},
    "lightning_fabric": {"neural"},
    "keras": {"keras"},
    "tensorflow": {"keras"},
    "jax": set(),
    "sklearn": {"estimators", "datasets", "recommender", "cli"},
    "matplotlib": {"plots"},
    "mlflow": {"solvers"},
    "typer": {"cli"},
    "rich": {"cli", "solvers", "datasets"},
    "pandas": set(),
    "polars": set(),
    "fastapi": {"serving"},
    "starlette": {"serving"},
    "pydantic": {"serving"},
    "pydantic_settings": {"serving"},
    "uvicorn": {"serving"},
    "orjson": {"serving"},
    "structlog": {"serving"},
    "prometheus_client": {"serving"},
    "sqlalchemy": {"serving"},
    "psycopg": {"serving"},
    "faiss": {"recommender"},
}


def modules() -> list[Path]:
    return sorted(
        path for path in SOURCE.rglob("*.py") if path.name != "__init__.py" or path.parent != SOURCE
    )


def room(path: Path) -> str:
    return path.relative_to(SOURCE).parts[0].removesuffix(".py")


def imports(path: Path) -> list[str]:
    """Return every imported module, also inside functions; not those under TYPE_CHECKING."""
    tree = ast.parse(path.read_text(encoding="utf8"))
    guarded = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)
        for inner in ast.walk(node)
    }
    found = []
    for node in ast.walk(tree):
        if id(node) in guarded:
            continue
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            found.append(node.module or "")
            if node.module == "crossfm":
                found += [f"crossfm.{alias.name}" for alias in node.names]
    return found


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(SOURCE)))
def test_imports_point_down(path: Path) -> None:
    here = room(path)
    assert here in LEVEL, f"{here} has no level: add it to the table"
    for name in imports(path):
        if not name.startswith("crossfm.") or name.startswith("crossfm._"):
            continue
        there = name.split(".")[1]
        down = LEVEL[there] < LEVEL[here]
        assert down or there == here or (here, there) in BESIDE, f"{path} imports {name}"


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(SOURCE)))
def test_heavy_libraries_stay_in_their_rooms(path: Path) -> None:
    for name in imports(path):
        allowed = HEAVY.get(name.split(".")[0])
        assert allowed is None or room(path) in allowed, f"{path} imports {name}"


def test_importing_crossfm_loads_no_heavy_library() -> None:
    heavy = [*HEAVY, "scipy", "pyarrow", "numpy"]
    code = f"import sys, crossfm; print([m for m in {heavy!r} if m in sys.modules])"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]"
