"""The assets that tie the DAGs together. Producers and consumers share these very objects."""

from __future__ import annotations

from functools import cache

from airflow.sdk import Asset

from evergreen.paths import asset_uri


@cache
def clean(name: str) -> Asset:
    """New rows passed their contracts."""
    return Asset(name=f"{name}_clean", uri=asset_uri(name, "clean"), group="evergreen")


@cache
def predictions(name: str) -> Asset:
    """The champion scored new rows."""
    return Asset(name=f"{name}_predictions", uri=asset_uri(name, "predictions"), group="evergreen")


@cache
def request(name: str) -> Asset:
    """A retrain was asked for. Only the doorbell: the ledger holds the request."""
    return Asset(name=f"{name}_retrain_request", uri=asset_uri(name, "request"), group="evergreen")


@cache
def champion(name: str) -> Asset:
    """A candidate was promoted."""
    return Asset(name=f"{name}_champion", uri=asset_uri(name, "champion"), group="evergreen")
