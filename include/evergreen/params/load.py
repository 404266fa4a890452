"""Reading params.yaml: an error names the line, the key, the value and what would be right."""

from __future__ import annotations

from pathlib import Path

from pydantic import ValidationError
from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError

from evergreen.errors import ParamsError
from evergreen.params.explain import explain
from evergreen.params.model import Params


def load_params(path: Path) -> Params:
    """Read and validate the params.yaml at `path`; raise ParamsError with every problem found."""
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise ParamsError(
            f"{path}: cannot be read ({error.strerror}); run this in a folder with a params.yaml"
        ) from None
    return load_params_text(text, str(path))


def load_params_text(text: str, name: str = "params.yaml") -> Params:
    """Validate the text of a params.yaml; `name` is what an error calls it."""
    try:
        tree = YAML(typ="rt").load(text)
    except MarkedYAMLError as error:
        line = f":{error.problem_mark.line + 1}" if error.problem_mark else ""
        raise ParamsError(f"{name}{line}: not valid YAML: {error.problem}") from None
    if not isinstance(tree, dict):
        raise ParamsError(f"{name}: expected a mapping with the keys {', '.join(Params.model_fields)}")
    try:
        params = Params.model_validate(tree)
    except ValidationError as error:
        raise ParamsError("\n".join(explain(name, tree, error.errors()))) from None
    return params
