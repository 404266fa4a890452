"""The DVC remote of builds: in the home, or where EVERGREEN_DVC_REMOTE says, such as gs://bucket/prefix."""

from __future__ import annotations

import os
import re
from importlib.util import find_spec

from evergreen.errors import BuildError

VARIABLE = "EVERGREEN_DVC_REMOTE"
NAME = "evergreen"  # of the remote in DVC's configuration


def remote_options() -> dict[str, str]:
    """The options of the remote in DVC's configuration; none where the variable names no place.

    DVC's client of Google Cloud Storage is who this machine is, as that of the lake is (Application Default
    Credentials), or nobody where STORAGE_EMULATOR_HOST is set. Raises BuildError for what DVC could not use.
    """
    url = os.environ.get(VARIABLE)
    if not url:
        return {}
    if not re.fullmatch(r"gs://[a-z0-9][a-z0-9._-]+(/[^/?#\"\s]+)*/?", url):
        raise BuildError(f"{VARIABLE} is not a place such as gs://bucket/prefix")
    if find_spec("dvc_gs") is None:
        raise BuildError(
            f"{VARIABLE} is {url}, for which DVC needs the package dvc-gs: install it, or what requirements-server.txt "
            "locks"
        )
    options = {"url": url.rstrip("/")}
    if server := os.environ.get("STORAGE_EMULATOR_HOST"):
        options["endpointurl"] = server if "://" in server else f"http://{server}"
        options["allow_anonymous_login"] = "true"
    return options
