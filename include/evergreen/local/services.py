"""The servers that a project brings along, as the stack runs them: `services` of params.yaml."""

from __future__ import annotations

import shlex
import shutil
import sys
from pathlib import Path

from evergreen.errors import ServerError
from evergreen.local.program import Program
from evergreen.params.services import Service


def program(name: str, service: Service, root: Path, port: int) -> Program:
    """The service `name`, run from the project's folder. Raises ServerError where its command is not there."""
    words = [word.replace("{port}", str(port)) for word in shlex.split(service.command)]
    if words[0] == "python":
        return Program(name, (sys.executable, *words[1:]), folder=root)
    found = shutil.which(str(root / words[0]) if "/" in words[0] else words[0])
    if found is None:
        raise ServerError(f"params.yaml: `services.{name}.command`: there is no program `{words[0]}`")
    return Program(name, (found, *words[1:]), folder=root)
