"""The architecture, checked: imports point down the road, nothing heavy loads early, no cycles, no giants."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
FOUNDATION = {
    "advices", "agreements", "choices", "errors", "registry", "results", "storage", "wheels", "progress",
    "callable_room", "examples", "spending", "stamp", "tasks", "trust", "views",
}  # fmt: skip
MAY_IMPORT = {
    "targets": set(),
    "sources": set(),
    "adapters": {"targets", "sources"},
    "features": {"targets", "sources", "adapters"},
    "scorers": {"features"},
    "similarity": {"features", "scorers"},
    "history": {"evaluate"},
    "ranking": {"targets", "sources", "adapters", "features", "scorers", "similarity", "history", "evaluate"},
    "confirm": {"targets", "sources", "adapters", "features", "ranking", "history", "evaluate"},
    "advice": {"targets", "sources", "adapters", "features", "ranking", "confirm"},
    "evaluate": set(),
    "report": {"scorers"},
}


def modules() -> list[tuple[str, Path]]:
    inside = [(p.relative_to(ROOT / "transferscope").parts[0], p) for p in (ROOT / "transferscope").rglob("*.py")]
    return inside + [("adapters", p) for p in (ROOT / "adapters").rglob("*.py")]


def imported_rooms(path: Path) -> set[str]:
    """First folder below transferscope of everything this file imports, inside functions too."""
    package = ["transferscope", *path.relative_to(ROOT / "transferscope").parts[:-1]] if (
        ROOT / "transferscope" in path.parents
    ) else ["transferscope", *path.relative_to(ROOT).parts[:-1]]  # fmt: skip
    rooms = set()
    for node in ast.walk(ast.parse(path.read_text())):
        names = []
        if isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            stem = [*base, *(node.module.split(".") if node.module else [])]
            names = [[*stem, alias.name] for alias in node.names]
        elif isinstance(node, ast.Import):
            names = [alias.name.split(".") for alias in node.names]
        rooms |= {name[1] for name in names if name[0] == "transferscope" and len(name) > 1}
    return rooms


@pytest.mark.parametrize("room", MAY_IMPORT)
def test_imports_point_down_the_road(room: str) -> None:
    for name, path in modules():
        if name == room:
            strangers = imported_rooms(path) - FOUNDATION - MAY_IMPORT[room] - {room}
            assert not strangers, f"{path.relative_to(ROOT)} imports {strangers}"


def test_every_folder_is_in_the_table() -> None:
    folders = {name for name, path in modules() if path.parent.name == name}
    assert folders - {"cli"} == set(MAY_IMPORT)


@pytest.mark.parametrize("heavy", ["torch", "timm", "transformers", "sklearn", "matplotlib", "scipy"])
def test_import_and_names_load_nothing_heavy(heavy: str) -> None:
    names = "transferscope.load_target, transferscope.Ranking"
    code = f"import transferscope, sys; {names}; assert {heavy!r} not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


IMPORT_EACH_ALONE = """
import importlib, sys
for name in sys.argv[1:]:
    for seen in [module for module in sys.modules if module.startswith("transferscope")]:
        del sys.modules[seen]
    importlib.import_module(name)
"""


def test_every_module_imports_alone() -> None:
    """A cycle shows when a module is the first to be imported."""
    names = [
        ".".join(("transferscope", *path.relative_to(ROOT / "transferscope").with_suffix("").parts))
        for _, path in modules()
        if ROOT / "transferscope" in path.parents
        and path.stem not in ("__init__", "__main__", "env")  # alembic runs that one
    ]
    subprocess.run([sys.executable, "-c", IMPORT_EACH_ALONE, *names], check=True)


def test_files_and_functions_stay_short() -> None:
    for _, path in modules():
        text = path.read_text()
        assert len(text.splitlines()) <= 400, path
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.FunctionDef):
                code = [part for part in node.body if not isinstance(part, ast.Expr)]  # the docstring does not count
                length = (node.end_lineno or 0) - code[0].lineno + 1 if code else 0
                assert length <= 50, f"{path}:{node.name} has {length} lines"


def test_public_surface() -> None:
    import transferscope as ts

    assert len(ts.__all__) <= 16
    for name in ts.__all__:
        assert getattr(ts, name) is not None
    for name in ("rank", "score", "confirm", "advise", "evaluate", "similarity", "discrepancy", "report"):
        assert callable(getattr(ts, name))
