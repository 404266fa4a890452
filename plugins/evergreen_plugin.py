"""The Airflow plugin: links from tasks to what they made, and the pages behind them.

The pages are files that our own stages wrote. They are served only to people whom Airflow lets see the DAG that made
them, and in a sandbox: a report cannot act in the name of its reader.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from airflow.api_fastapi.auth.managers.models.resource_details import DagAccessEntity
from airflow.api_fastapi.core_api.security import requires_access_dag
from airflow.plugins_manager import AirflowPlugin
from airflow.providers.standard.decorators.python import _PythonDecoratedOperator
from airflow.sdk import BaseOperatorLink
from airflow.serialization.definitions.operatorlink import XComOperatorLink
from fastapi import Depends, FastAPI, HTTPException
from fastapi.responses import FileResponse

from evergreen.errors import EvergreenError
from evergreen.files import fetch
from evergreen.paths import Home

if TYPE_CHECKING:
    from airflow.models.taskinstancekey import TaskInstanceKey

SANDBOX = (
    "sandbox allow-scripts allow-popups allow-downloads; default-src 'self' 'unsafe-inline' 'unsafe-eval' data: blob:"
)
TYPES = {".html": "text/html", ".json": "application/json", ".png": "image/png"}

app = FastAPI(title="Evergreen", docs_url=None, redoc_url=None, openapi_url=None)
may_see = Depends(requires_access_dag("GET", DagAccessEntity.RUN))


@app.get("/{dag_id}/pages/{path:path}", dependencies=[may_see])
def page(dag_id: str, path: str) -> FileResponse:
    """A page that the DAG's use case wrote: a report of the monitor, what a validation found, or a model card.

    `path` is relative to the state folder. A monitor DAG's people see its use case's reports, an ingest DAG's what its
    validations found, a retrain DAG's its model cards, and nothing else is served.
    """
    home = Home(Path(os.environ["EVERGREEN_HOME"]).resolve())
    name, _, stage = dag_id.rpartition("_")
    folders = {
        "monitor": home.reports(name),
        "ingest": home.lake(name) / "validation",
        "retrain": home.cards(name),
    }
    folder = folders.get(stage) if name else None
    place = (home.root / path).resolve()
    allowed = folder is not None and place.is_relative_to(folder) and place.suffix in TYPES
    try:
        found = allowed and fetch(place)
    except EvergreenError as error:  # the bucket is away
        raise HTTPException(503, str(error)) from None
    if not found:
        raise HTTPException(404, "no such page; the task may not have written it yet, or it was cleaned up")
    return FileResponse(place, media_type=TYPES[place.suffix], headers={"Content-Security-Policy": SANDBOX})


class _Link(BaseOperatorLink):
    """A link that a task offers by pushing an XCom; Airflow reads it while the task still runs."""

    operators = [_PythonDecoratedOperator]

    def get_link(self, operator: Any, *, ti_key: TaskInstanceKey) -> str:
        """The URL that the task pushed, or nothing."""
        return XComOperatorLink(name=self.name, xcom_key=self.xcom_key).get_link(operator, ti_key=ti_key)


class MlflowRunLink(_Link):
    """From train and track to the MLflow run."""

    name = "MLflow run"
    xcom_key = "link_mlflow_run"


class ModelCardLink(_Link):
    """From track and gate to the version's model card."""

    name = "Model card"
    xcom_key = "link_model_card"


class DriftReportLink(_Link):
    """From monitor to Evidently's page."""

    name = "Evidently report"
    xcom_key = "link_drift_report"


class MonitorSummaryLink(_Link):
    """From monitor to the records and rules."""

    name = "Monitor summary"
    xcom_key = "link_monitor_summary"


class ValidationLink(_Link):
    """From validate to what broke the contract."""

    name = "Validation result"
    xcom_key = "link_validation_result"


class EvergreenPlugin(AirflowPlugin):
    """Registered by Airflow from the plugins folder."""

    name = "evergreen"
    fastapi_apps = [{"app": app, "url_prefix": "/evergreen", "name": "Evergreen"}]
    operator_extra_links = [MlflowRunLink(), ModelCardLink(), DriftReportLink(), MonitorSummaryLink(), ValidationLink()]
