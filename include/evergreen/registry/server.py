"""The MLflow server as a guest: asked briefly, and never in the way when it is down."""

from __future__ import annotations

import os
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from evergreen.errors import RegistryError

if TYPE_CHECKING:
    from mlflow import MlflowClient

_PATIENCE = 3.0
# MLflow's own defaults wait for minutes: 120 s a request, seven retries.
_BRIEF = {
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "20",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    "MLFLOW_CONFIGURE_LOGGING": "false",
}


def tracking_uri() -> str | None:
    """MLFLOW_TRACKING_URI; None where nothing tracks."""
    return os.environ.get("MLFLOW_TRACKING_URI") or None


def why_unreachable(uri: str) -> str | None:
    """Why the server does not answer, asked once for at most three seconds; None where it does, or is no server."""
    if not uri.startswith(("http://", "https://")):
        return None
    try:
        urllib.request.urlopen(f"{uri.rstrip('/')}/health", timeout=_PATIENCE).close()
    except urllib.error.HTTPError:
        return None  # something answers; what it refuses, the client will say
    except OSError as error:
        return str(getattr(error, "reason", error))
    return None


@contextmanager
def connected(then: str = "run it again") -> Iterator[MlflowClient]:
    """A client of the server that MLFLOW_TRACKING_URI names.

    Raises RegistryError, which ends by saying what to do (`then`), where no server is named, where it does not
    answer within seconds, and for whatever MLflow refuses inside of the block.
    """
    uri = tracking_uri()
    if uri is None:
        raise RegistryError(f"MLFLOW_TRACKING_URI is not set, so there is no model registry: set it, and {then}")
    if reason := why_unreachable(uri):
        raise RegistryError(f"MLflow at {uri} does not answer ({reason}): start it (`evergreen up`), and {then}")
    with _brief():
        import requests
        from mlflow import MlflowClient
        from mlflow.exceptions import MlflowException

        try:
            yield MlflowClient(tracking_uri=uri)
        except (MlflowException, requests.RequestException) as error:
            raise RegistryError(f"MLflow at {uri}: {error}\nWhen that is mended, {then}") from error


@contextmanager
def _brief() -> Iterator[None]:
    """MLflow's settings by environment, for the block only; what the user has set stays."""
    added = {key: value for key, value in _BRIEF.items() if key not in os.environ}
    os.environ.update(added)
    try:
        yield
    finally:
        for key in added:
            os.environ.pop(key, None)
