"""What the builds of a clone are, by hash; and whether another stack has made the same.

    python examples/flights/hashes.py > laptop.json
    python examples/flights/hashes.py --than laptop.json

A build is its snapshot and the outputs of its DVC stages: features, models, metrics. Two stacks that had the same rows
by the same moment, and run the same code, have the same hashes. What is printed is what the stack made itself. It is
compared with what this one made, and one that only one of them has is a difference; where this one made nothing, with
the build that is committed to git. Where
numpy picks other kernels (another processor, or another OPENBLAS_CORETYPE) a model's last bits differ, and only
snapshot and features must agree.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from evergreen.builds.git import git
from evergreen.errors import EvergreenError
from evergreen.project import Project

ROOT = Path(__file__).parents[2]
# The kernels, and the file that notes the interpreter and the packages: what made a build, not what it is.
NOTED = {"blas", "build/training.json"}
EVERYWHERE = ("snapshot", "build/features.parquet")


def hashes(project: Project, revisions: Iterable[str]) -> dict[str, Any]:
    """Moment of each build to its snapshot's id, the hash of each output, and the kernels that made it."""
    found = {}
    for revision in revisions:
        snapshot = json.loads(git(project.root, "show", f"{revision}:snapshot.json"))
        stages = YAML(typ="safe").load(git(project.root, "show", f"{revision}:dvc.lock"))["stages"].values()
        outputs = {out["path"]: out["md5"] for stage in stages for out in stage["outs"]}
        found[snapshot["cutoff"]] = {"snapshot": snapshot["id"], **outputs, "blas": _blas(project, revision)}
    return found


def builds(project: Project) -> list[str]:
    """The tags of the builds that stand on this commit: others may differ as their code does."""
    head = git(project.root, "rev-parse", "HEAD")
    tags = git(project.root, "tag", "--list", f"build/{project.name}/*").split()
    return [tag for tag in tags if git(project.root, "rev-parse", f"{tag}^") == head]


def _blas(project: Project, revision: str) -> str | None:
    """The kernels that made a build; None where its worktree is gone."""
    if revision == "HEAD":
        return str(json.loads((ROOT / "examples" / "flights" / "recorded.json").read_text())["environment"]["blas"])
    made = project.home.builds(project.name) / revision.rpartition("/")[2] / "build" / "training.json"
    return str(json.loads(made.read_text())["environment"]["blas"]) if made.exists() else None


def compare(made: dict[str, Any], there: dict[str, Any], committed: dict[str, Any]) -> tuple[list[str], list[str]]:
    """What to say of each build that both have, made here or else committed, and what differs that must not."""
    said, wrong = [], list[str]()
    here = committed | made
    for moment in sorted(here.keys() & there.keys()):
        one, other = here[moment], there[moment]
        alike = one["blas"] == other["blas"] or None in (one["blas"], other["blas"])
        names = sorted((one.keys() | other.keys()) - NOTED) if alike else list(EVERYWHERE)
        differing = [name for name in names if name not in one or one[name] != other.get(name)]
        wrong += [f"{moment}: {name}" for name in differing]
        kernels = "" if alike else f" (models not compared: kernels {one['blas']} and {other['blas']})"
        said.append(f"{moment}  {len(names) - len(differing)} of {len(names)} hashes are the same{kernels}")
    if made:
        wrong += [f"{moment}: one of the two has no such build" for moment in sorted(made.keys() ^ there.keys())]
    elif said:
        said.append("this stack has no build of this commit (`make demo` makes three): compared with the committed one")
    return said, wrong


def main() -> None:
    """Print the hashes, or compare; exit 1 where something differs that must not."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--than", type=Path, help="hashes of another stack, as this prints them")
    given = parser.parse_args()
    project = Project.load()
    made = hashes(project, builds(project))
    if given.than is None:
        print(json.dumps(made, indent=1))
        return
    said, wrong = compare(made, json.loads(given.than.read_text()), hashes(project, ["HEAD"]))
    print("\n".join(said))
    if wrong or not said:
        raise EvergreenError("; ".join(wrong) or "the two have no build of the same moment")
    print("all that was compared is the same on both")


if __name__ == "__main__":
    try:
        main()
    except EvergreenError as error:
        sys.exit(f"hashes: {error}")
