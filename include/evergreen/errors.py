"""The errors that a user can mend; everything else is a defect and keeps its traceback."""

from __future__ import annotations


class EvergreenError(Exception):
    """Base of the errors whose text says what is wrong and what to do next.

    The command line prints the text alone; an Airflow task shows it as its failure.
    """


class ParamsError(EvergreenError):
    """params.yaml is not valid: names the line, the key, the value and what would be right."""


class SourceError(EvergreenError):
    """A source cannot be read, or what it sent cannot be parsed."""


class ContractError(EvergreenError):
    """A table broke its contract so badly that nothing may be built on it."""


class LakeError(EvergreenError):
    """The lake does not hold what its ledger says, or another writer was faster."""


class BuildError(EvergreenError):
    """A build's worktree, its DVC stage or its commit failed."""


class RegistryError(EvergreenError):
    """The model registry or a stored model is not what was recorded."""


class ServerError(EvergreenError):
    """A server of the local stack cannot be started or reached."""
