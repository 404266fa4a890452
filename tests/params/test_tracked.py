"""What DVC tracks must be written down."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from evergreen.errors import ParamsError
from evergreen.params import load_params
from evergreen.params.tracked import require_tracked
from tests.conftest import ROOT, SMALL


def written(root: Path, text: str) -> Path:
    (root / "params.yaml").write_text(text)
    shutil.copy(ROOT / "dvc.yaml", root)
    return root


def test_the_shipped_files_write_down_all_that_is_tracked(tmp_path: Path) -> None:
    require_tracked(ROOT, load_params(ROOT / "params.yaml"))
    root = written(tmp_path, SMALL)
    require_tracked(root, load_params(root / "params.yaml"))


def test_what_is_left_to_its_default_is_named_with_the_line_to_add(tmp_path: Path) -> None:
    text = SMALL.replace("preprocess: {}\n", "").replace("\nevaluation: {resamples", "\n# {resamples")
    text = text.replace("time_zone: America/New_York\n", "")
    root = written(tmp_path, text.replace("gate: {window: 7 days, ", "gate: {"))
    with pytest.raises(ParamsError) as raised:
        require_tracked(root, load_params(root / "params.yaml"))
    for part in ("`time_zone: UTC`", "`preprocess: {}`", "`evaluation: {}`", "`gate: {window: 28 days}`"):
        assert part in str(raised.value)


def test_without_a_dvc_yaml_nothing_is_asked(tmp_path: Path) -> None:
    (tmp_path / "params.yaml").write_text(SMALL)
    require_tracked(tmp_path, load_params(tmp_path / "params.yaml"))


def test_of_the_gate_only_what_changes_a_model_is_tracked() -> None:
    stages = YAML(typ="safe").load(ROOT / "dvc.yaml")["stages"]
    keys = {str(key) for stage in stages.values() for key in stage.get("params", [])}
    assert {key for key in keys if key.partition(".")[0] == "gate"} == {"gate.window"}
