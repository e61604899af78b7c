"""Imports go one way through the house, and private names enter by one door each."""

import ast
import re
from collections import Counter
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "incremental"
GUIDE = PACKAGE.parent / ".github" / "CONTRIBUTING.md"
MODULES = {
    ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts): path
    for path in sorted(PACKAGE.rglob("*.py"))
    if path.name != "__init__.py"
}
# A room imports from those below it and never from beside it.
FLOORS = [
    {
        "_base_search",
        "_block_k_fold",
        "_cross_val_predict",
        "_cross_validate",
        "_fit_many",
        "_hyperband_search",
        "_incremental",
        "_incremental_search",
        "_iter_blocks",
        "_parallel_post_fit",
        "_successive_halving_search",
        "_train_test_split",
    },
    {"_search"},
    {"_fit"},
    {"_predict"},
    {"_graph", "_estimators"},
    {"_blocks"},
    {"_errors", "_typing"},
]
FORBIDDEN = {
    "_blocks": ("sklearn", "dask._task_spec"),
    "_graph": ("sklearn",),
    "_estimators": ("dask",),
}


def imports(path):
    """List the modules and the names that a module imports, wherever it does."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom):
            yield from ((node.module, alias.name) for alias in node.names)
        elif isinstance(node, ast.Import):
            yield from ((alias.name, "") for alias in node.names)


def room(module):
    return module.split(".")[1]


def floor(module):
    return next(n for n, rooms in enumerate(FLOORS) if room(module) in rooms)


def on_the_map():
    """Yield the modules that the tables of the map name, as paths in the package."""
    for line in GUIDE.read_text().splitlines():
        room = ""
        for name in re.findall(r"`([\w/]+\.py)`", line) if line[0:1] == "|" else ():
            # `a/b.py`, `c.py`: the second one is in the room of the first.
            room = name.rpartition("/")[0] or room
            yield f"{room}/{name.rpartition('/')[2]}".lstrip("/")


def test_the_map_of_the_house_has_every_module_and_no_other():
    modules = {path.relative_to(PACKAGE).as_posix() for path in MODULES.values()}
    assert set(on_the_map()) == modules


@pytest.mark.parametrize("module", MODULES)
def test_a_module_imports_from_its_own_room_or_from_floors_below(module):
    for imported, _ in imports(MODULES[module]):
        if imported.startswith("incremental."):
            beside = floor(imported) == floor(module) and floor(module) > 0
            assert floor(imported) >= floor(module), imported
            assert not beside or room(imported) == room(module), imported


def test_no_modules_import_each_other_in_a_circle():
    graph = {
        module: {name for name, _ in imports(path) if name in MODULES}
        for module, path in MODULES.items()
    }
    assert set(TopologicalSorter(graph).static_order()) >= set(MODULES)


@pytest.mark.parametrize("module", MODULES)
def test_a_room_leaves_out_what_it_is_not_about(module):
    for imported, _ in imports(MODULES[module]):
        for other in FORBIDDEN.get(room(module), ()):
            assert not f"{imported}.".startswith(f"{other}."), imported


def test_private_names_are_imported_once_and_only_where_they_are_at_home():
    homes = {"dask": "_graph", "sklearn": "_estimators"}
    found = Counter()
    for module, path in MODULES.items():
        for imported, name in imports(path):
            package = imported.partition(".")[0]
            private = any(part.startswith("_") for part in [*imported.split("."), name])
            if package in homes and private and imported != "__future__":
                assert room(module) == homes[package], (module, imported, name)
                found[imported, name] += 1
    assert found
    assert set(found.values()) == {1}
