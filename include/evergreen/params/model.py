"""The whole of params.yaml, and what must hold between its sections."""

from __future__ import annotations

from typing import Annotated
from zoneinfo import ZoneInfo, available_timezones

from pydantic import Field, ValidationError, field_validator, model_validator

from evergreen.params.backtest import Backtest, setting_of
from evergreen.params.base import Section, nearest
from evergreen.params.card import Card
from evergreen.params.derived import check_columns
from evergreen.params.evaluation import Evaluation
from evergreen.params.features import Features
from evergreen.params.gate import Gate
from evergreen.params.monitoring import Monitoring
from evergreen.params.prediction import Prediction
from evergreen.params.preprocess import Preprocess
from evergreen.params.retention import Retention
from evergreen.params.scoring import Schedule, Scoring
from evergreen.params.search import Search
from evergreen.params.services import Service
from evergreen.params.tables import Table
from evergreen.params.training import Training


class Params(Section):
    """One use case."""

    name: str = Field(
        pattern=r"^[a-z][a-z0-9_]{0,39}$", description="Prefix of everything others can see: DAGs, model, tags, lake."
    )
    time_zone: str = Field(
        "UTC", description="IANA name; days and weeks are this zone's, and so is `local(...)` in SQL."
    )
    owner: str = Field("ml-team", description="Owner of the DAGs.")
    tables: dict[str, Table] = Field(min_length=1)
    prediction: Prediction
    features: Features
    preprocess: Preprocess = Preprocess()
    training: Training
    evaluation: Evaluation = Evaluation()
    search: Search = Search()
    gate: Gate = Gate()
    scoring: Scoring = Scoring()
    monitoring: Monitoring = Monitoring()
    schedule: Schedule = Schedule()
    retention: Retention = Retention()
    card: Card = Card()
    backtest: Backtest = Backtest()
    services: dict[Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,29}$")], Service] = Field(
        default_factory=dict,
        max_length=10,
        description="Servers that the project brings along for its sources; `evergreen up` runs each as <name>, and "
        "makes it the connection `evergreen_<name>` of the type http.",
    )

    @field_validator("time_zone")
    @classmethod
    def _known_zone(cls, value: str) -> str:
        if value not in available_timezones():
            raise ValueError("not an IANA time zone; an example is `America/New_York`")
        return value

    @model_validator(mode="after")
    def _tables_exist(self) -> Params:
        wanted = {"prediction.rows": self.prediction.rows, "prediction.label.table": self.label_table}
        wanted |= {f"features.latest.{name}": view.table or name for name, view in self.features.latest.items()}
        wanted |= {f"features.trailing.{name}": str(view.table) for name, view in self.features.trailing.items()}
        for place, table in wanted.items():
            if table not in self.tables:
                raise ValueError(f"{place} names the table `{table}`; {nearest(table, self.tables)}")
        return self

    @model_validator(mode="after")
    def _drift_methods_fit(self) -> Params:
        self.monitoring.drift.require_methods_fit(self.features.categorical)
        return self

    @model_validator(mode="after")
    def _evaluation_names_features(self) -> Params:
        self.evaluation.require_features(self.features.names(), self.features.categorical)
        return self

    @model_validator(mode="after")
    def _preprocess_fits(self) -> Params:
        check_columns(self.preprocess, self.features)
        return self

    @model_validator(mode="after")
    def _fits_the_kind_of_label(self) -> Params:
        kind = self.prediction.label.kind
        self.gate.require_metrics_of(kind)
        for name, setting in self.backtest.gates.items():
            try:
                setting_of(self.gate, setting).require_metrics_of(kind)
            except ValidationError as error:
                raise ValueError(f"backtest.gates.{name}: {error.errors()[0]['msg']}") from None
            except ValueError as error:
                raise ValueError(f"backtest.gates.{name}: {error}") from None
        self.search.require_fit(kind)
        if self.evaluation.cost is not None and kind != "binary":
            raise ValueError(f"evaluation.cost: two ways to be wrong are a binary label's, and this one is {kind}")
        if self.gate.fairness and not self.evaluation.sensitive:
            raise ValueError(
                f"gate.fairness: {', '.join(self.gate.fairness)} compares the groups of the columns of "
                "`evaluation.sensitive`, and that names none"
            )
        return self

    @property
    def label_table(self) -> str:
        """The table that holds the outcome."""
        return self.prediction.label.table or self.prediction.rows

    @property
    def zone(self) -> ZoneInfo:
        """The use case's time zone."""
        return ZoneInfo(self.time_zone)
