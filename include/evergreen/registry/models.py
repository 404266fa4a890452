"""The MLflow registry: logged models, versions and aliases."""

from __future__ import annotations

import json
import warnings
from typing import TYPE_CHECKING, Any

from evergreen.errors import RegistryError
from evergreen.faults import point
from evergreen.registry.contents import Outcome, feature_schema
from evergreen.registry.server import connected
from evergreen.registry.tracking import BUILD

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run
    from mlflow.entities.model_registry import ModelVersion

    from evergreen.ledger import Promotion
    from evergreen.training.record import TrainingRecord

CHALLENGER, CHAMPION, PREVIOUS = "challenger", "champion", "previous"
KIND, CLASSES = "evergreen.kind", "evergreen.classes"  # tags of a logged model: what its answer is
_EXAMPLE_ROWS = 5
_SERVED_BY = ("numpy", "pandas", "scikit-learn", "scipy", "skops")


def log_models(client: MlflowClient, run: Run, outcome: Outcome) -> dict[str, str]:
    """Log the model and its twin to a run; `{"model": "models:/m-...", "twin": ...}`. Those there already are kept."""
    logged = _logged(client, run)
    kinds = {"model": outcome.bundle.model, "twin": outcome.bundle.twin}
    return {kind: logged.get(kind) or _log_model(run, kind, load(), outcome) for kind, load in kinds.items()}


def register(client: MlflowClient, run: str, outcome: Outcome, models: dict[str, str], tags: dict[str, str]) -> int:
    """The version of the registered model `<name>` that is this build's model: found, or made; now the challenger."""
    name, build = outcome.project.name, outcome.bundle.build
    version = find_version(client, name, build)
    if version is None:
        if not client.search_registered_models(f"name = '{name}'"):
            client.create_registered_model(name)
            point("track.named")
        marks = {key: tags[key] for key in ("evergreen.cutoff", "evergreen.snapshot", "evergreen.bundle")}
        marks |= {BUILD: f"{name}/{build}", "evergreen.twin": models["twin"]}
        source = models["model"]
        note = f"Build `{build}`: its run's artifacts hold the model card (card.html), metrics and plots."
        version = client.create_model_version(
            name, source, run_id=run, tags=marks, model_id=source.removeprefix("models:/"), description=note
        )
    point("track.versioned")
    client.set_registered_model_alias(name, CHALLENGER, str(version.version))
    return int(version.version)


def find_version(client: MlflowClient, name: str, build: str) -> ModelVersion | None:
    """The version that a build was registered as, found by its tag."""
    return min(_versions(client, name, build), key=lambda version: int(version.version), default=None)


def version_of_build(name: str, build: str) -> int | None:
    """The version that a build was registered as; None where it was not. Raises RegistryError without a server."""
    with connected() as client:
        version = find_version(client, name, build)
        return None if version is None else int(version.version)


def aliases(name: str) -> dict[str, int]:
    """Alias to version; empty for a model without a version yet. Raises RegistryError without a server."""
    with connected() as client:
        found = client.search_registered_models(f"name = '{name}'")
        # The search leaves the aliases out of what it finds on some stores; asking for the one model does not.
        return {key: int(value) for key, value in client.get_registered_model(name).aliases.items()} if found else {}


def apply_aliases(name: str, champion: Promotion, previous: Promotion | None) -> None:
    """Make a promoted version `champion` and the one before it `previous`; applied again it changes nothing.

    One that somebody deleted by hand and `evergreen track` registered again has another number now. Raises
    RegistryError where the champion's is gone; a previous one that is keeps nobody from being champion.
    """
    with connected("run it again: the ledger has the new champion, only the aliases are missing") as client:
        version = _registered(client, name, champion)
        if version is None:
            raise RegistryError(
                f"MLflow has no version of the champion {champion.build} any more, which was version "
                f"{champion.version} of `{name}`. It is champion all the same, and scores from its stored bundle; for "
                f"MLflow to have it again, run `evergreen track {champion.build}`, then run this again"
            )
        client.set_registered_model_alias(name, CHAMPION, version)
        point("promote.champion")
        before = _registered(client, name, previous) if previous else None
        if before not in (None, version):
            client.set_registered_model_alias(name, PREVIOUS, before)


def _registered(client: MlflowClient, name: str, promoted: Promotion) -> str | None:
    """The version that a build was promoted as, or, where that is gone, is registered as by now.

    A number alone does not say so: where the whole model was deleted by hand, numbers begin again with other builds.
    """
    kept = {str(version.version) for version in _versions(client, name, promoted.build)}
    return str(promoted.version) if str(promoted.version) in kept else min(kept, key=int, default=None)


def _versions(client: MlflowClient, name: str, build: str) -> list[ModelVersion]:
    return list(client.search_model_versions(f"name = '{name}' and tags.`{BUILD}` = '{name}/{build}'"))


def _logged(client: MlflowClient, run: Run) -> dict[str, str]:
    """Name to URI of the models that the run holds whole; what a kill left half-way is deleted."""
    ready = {}
    found = client.search_logged_models([run.info.experiment_id], f"source_run_id = '{run.info.run_id}'")
    for model in found:
        if str(model.status) == "READY":
            ready[model.name] = model.model_uri
        else:
            client.delete_logged_model(model.model_id)
    return ready


def _log_model(run: Run, kind: str, model: Any, outcome: Outcome) -> str:
    """Log one model to the active run, as skops: nothing is executed by loading it."""
    from importlib.metadata import version

    with warnings.catch_warnings():
        # MLflow warns of a type hint of its own when this is imported.
        warnings.filterwarnings("ignore", "(?s).*Any type hint is inferred", UserWarning)
        import mlflow.pyfunc
        import mlflow.sklearn

    from evergreen.training.estimators import find, skops_trusted

    record = outcome.bundle.training
    packages = (*_SERVED_BY, *find(record.estimator).packages)
    info = mlflow.sklearn.log_model(
        model,
        name=kind,
        serialization_format="skops",
        skops_trusted_types=skops_trusted(record.estimator),
        # Stated, since MLflow would otherwise start a process for half a minute to find out.
        pip_requirements=[f"{package}=={version(package)}" for package in packages],
        signature=_signature(outcome),
        input_example=_example(outcome),
        pyfunc_predict_fn="predict" if record.kind == "regression" else "predict_proba",
        tags={BUILD: f"{outcome.project.name}/{outcome.bundle.build}", KIND: record.kind, **_classes(record)},
    )
    point("track.model")
    return str(info.model_uri)


def _signature(outcome: Outcome) -> Any:
    import numpy as np
    from mlflow.models import ModelSignature
    from mlflow.types import Schema, TensorSpec

    record = outcome.bundle.training
    shape = (-1,) if record.kind == "regression" else (-1, len(record.classes) or 2)
    return ModelSignature(feature_schema(outcome), Schema([TensorSpec(np.dtype("float64"), shape)]))


def _classes(record: TrainingRecord) -> dict[str, str]:
    """What the columns of a multiclass model's answer are, in their order."""
    return {CLASSES: json.dumps(record.classes, ensure_ascii=False)} if record.classes else {}


def _example(outcome: Outcome) -> Any:
    """A few training rows, as the model takes them."""
    from evergreen.training.frame import inputs, read_frame

    record = outcome.bundle.training
    rows = read_frame(outcome.bundle.path("sample.parquet"), record.features).head(_EXAMPLE_ROWS)
    return inputs(rows, record.features, record.categorical)
