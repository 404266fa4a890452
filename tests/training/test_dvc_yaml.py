"""dvc.yaml names all that a stage's bytes depend on: changed code is a changed build."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from evergreen.stages.evaluate import evaluate
from evergreen.stages.train import train
from tests.synthetic import write_features

ROOT = Path(__file__).parents[2]
LIBRARY = ROOT / "include" / "evergreen"
DVC: dict[str, Any] = YAML(typ="safe").load(ROOT / "dvc.yaml")

# What a stage imports and what can change no byte of its outputs, with a reason each. The modules of
# evergreen.params are not followed: their values are tracked, and those with code of their own are named by hand.
NEUTRAL = {
    "evergreen": "a docstring",
    "evergreen.disk": "texts",
    "evergreen.errors": "texts",
    "evergreen.files": "how a file is written, not what",
    "evergreen.faults": "for tests",
    "evergreen.lake": "empty",
    "evergreen.lake.manifests": "the lake's ledger, which a build does not read",
    "evergreen.quality.records": "the lake's verdicts, which a build does not read",
    "evergreen.locks": "waits",
    "evergreen.paths": "places",
    "evergreen.project": "places",
    "evergreen.registry": "empty",
    "evergreen.registry.tracking": "watches",
    "evergreen.stages": "empty",
}


def module_file(name: str) -> Path | None:
    path = ROOT / "include" / Path(*name.split("."))
    return next((file for file in (path.with_suffix(".py"), path / "__init__.py") if file.is_file()), None)


def imports(file: Path) -> set[str]:
    """The library's modules that a file imports, also inside functions."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return {name for name in found if name.split(".")[0] == "evergreen" and module_file(name)}


def reached(stage: str) -> set[Path]:
    """Every file that the stage's code runs through, without what is neutral."""
    queue, seen = [f"evergreen.stages.{stage}"], set[str]()
    while queue:
        name = queue.pop()
        if name not in seen and name not in NEUTRAL and not name.startswith("evergreen.params"):
            seen.add(name)
            queue += imports(module_file(name) or LIBRARY / "__init__.py")
    return {file for name in seen if (file := module_file(name))}


@pytest.mark.parametrize("stage", DVC["stages"])
def test_the_code_that_a_stage_runs_is_a_dependency(stage: str) -> None:
    deps = [ROOT / dep for dep in DVC["stages"][stage]["deps"]]
    files = reached(stage)
    assert files
    missing = [str(file.relative_to(ROOT)) for file in files if not any(file.is_relative_to(dep) for dep in deps)]
    assert not missing, "add to dvc.yaml, or to NEUTRAL here with the reason"


@pytest.mark.parametrize("stage", DVC["stages"])
def test_code_dependencies_exist_and_are_used(stage: str) -> None:
    code = [ROOT / dep for dep in DVC["stages"][stage]["deps"] if dep.startswith("include/")]
    assert all(dep.exists() for dep in code)
    code = [dep for dep in code if dep.parent != LIBRARY / "params"]
    files = reached(stage)
    assert [str(dep) for dep in code if not any(file.is_relative_to(dep) for file in files)] == []


@pytest.mark.parametrize("stage", DVC["stages"])
def test_tracked_params_are_in_the_shipped_params(stage: str) -> None:
    shipped = YAML(typ="safe").load(ROOT / "params.yaml")
    for key in DVC["stages"][stage].get("params", []):
        node = shipped
        for part in key.split("."):
            assert part in node, f"DVC fails without `{key}` in params.yaml"
            node = node[part]


def test_plots_show_columns_that_are_written(make_project) -> None:
    project = make_project()
    write_features(project)
    train(project)
    evaluate(project)
    folder = project.build / "plots"
    plots = {Path(path).name: options for entry in DVC["plots"] for path, options in entry.items()}
    assert set(plots) == {path.name for path in folder.iterdir()}
    for name, options in plots.items():
        header = (folder / name).read_text().splitlines()[0].split(",")
        y = options["y"]
        assert {options["x"], *([y] if isinstance(y, str) else y)} <= set(header)


def test_the_stages_write_what_dvc_expects(make_project) -> None:
    project = make_project()
    write_features(project)
    for stage, run in (("train", train), ("evaluate", evaluate)):
        before = set(project.build.iterdir())
        run(project)
        written = {f"build/{path.name}" for path in set(project.build.iterdir()) - before}
        declared = DVC["stages"][stage]
        assert written == {*declared["outs"], *declared.get("metrics", [])}
