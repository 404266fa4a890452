"""The line of a place in params.yaml: messages that are not about YAML name a place such as `features.row.hour`."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap
from ruamel.yaml.error import YAMLError

_FEATURE = re.compile(r"the feature (?:name )?`(.+?)`")
_BEGINNING = re.compile(r"(?:params\.yaml: )?`?")


def with_lines(message: str, path: Path) -> str:
    """`message` with file and line before each of its lines that begins with a place of the params.yaml at `path`."""
    try:
        tree = YAML(typ="rt").load(path.read_text(encoding="utf-8"))
    except (OSError, YAMLError):
        return message
    return "\n".join(_with_line(line, tree, path) for line in message.splitlines())


def line_of(tree: Any, message: str) -> int | None:
    """The line, from 1, of the place that `message` begins with; None where it begins with none."""
    rest, node, depth = message, tree, 0
    line: int | None = None
    while isinstance(node, CommentedMap):
        # A name may hold a dot, so the longest key that the text goes on with is meant.
        keys = [key for key in node if re.match(re.escape(str(key)) + r"(?![\w$])", rest)]
        if not keys:
            break
        key = max(keys, key=lambda one: len(str(one)))
        line, rest, depth = node.lc.key(key)[0] + 1, rest[len(str(key)) :].removeprefix("."), depth + 1
        node = node[key]
    return line if depth > 1 or rest.startswith((":", "`")) else None  # else an ordinary word of a sentence


def _with_line(message: str, tree: Any, path: Path) -> str:
    if message.startswith(f"{path}:"):
        return message
    begins = _BEGINNING.match(message)
    line = line_of(tree, message[begins.end() :] if begins else message)
    if line is None and (feature := _FEATURE.match(message)):
        line = _feature_line(tree, feature[1])
    return f"{path}:{line}: {message.removeprefix('params.yaml: ')}" if line else message


def _feature_line(tree: Any, name: str) -> int | None:
    features = tree.get("features") if isinstance(tree, dict) else None
    for section in ("row", "trailing"):
        named = features.get(section) if isinstance(features, CommentedMap) else None
        if isinstance(named, CommentedMap) and name in named:
            return int(named.lc.key(name)[0]) + 1
    return line_of(tree, "features:")
