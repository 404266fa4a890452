"""One look at everything: samples in, an Inspection out."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

from evergreen.errors import SourceError
from evergreen.inspection.columns import check_columns, describe_columns
from evergreen.inspection.contract import check_contract
from evergreen.inspection.features import check_features
from evergreen.inspection.keys import check_keys
from evergreen.inspection.labels import check_label, describe_label
from evergreen.inspection.leaks import check_leaks
from evergreen.inspection.moments import check_known_at, moment
from evergreen.inspection.outcome import find_outcome
from evergreen.inspection.records import SEVERITIES, Finding, Inspection, LabelSeen, TableSeen
from evergreen.inspection.samples import NotRead, Sample, read_sample, take_sample

if TYPE_CHECKING:
    from evergreen.params import Params
    from evergreen.params.tables import Table
    from evergreen.project import Project

ROWS = 30_000


def inspect(
    project: Project,
    tables: Sequence[str],
    as_of: datetime,
    rows: int = ROWS,
    tell: Callable[[str], None] = lambda table: None,
) -> Inspection:
    """Look at a sample of each of the `tables`; the label is judged where its table and the rows' are among them.

    `tell` is told of each table before its source is asked, which waits for one that is away.
    """
    from evergreen import clock

    samples = dict[str, Sample | str]()
    for name in tables:
        tell(name)
        samples[name] = take_sample(project, name, rows, as_of)
    return judge(project.params, samples, as_of, clock.replay_time(project.home) is not None)


def inspect_schemas(
    project: Project, tables: Sequence[str], as_of: datetime, rows: int
) -> tuple[Inspection, dict[str, str]]:
    """Names and types alone, and the tables whose source could not be read, with the reason."""
    samples, failed = dict[str, Sample | str](), dict[str, str]()
    for name in tables:
        try:
            samples[name] = read_sample(project, name, rows, as_of)
        except SourceError as error:
            samples[name] = failed[name] = NotRead(error)
    seen = tuple(_seen(project.params, name, sample) for name, sample in samples.items())
    findings = [one for sample in samples.values() if isinstance(sample, Sample) for one in check_columns(sample)]
    return _inspection(project.params, as_of, seen, None, findings), failed


def judge(params: Params, samples: Mapping[str, Sample | str], as_of: datetime, replaying: bool = False) -> Inspection:
    """What the samples say; the reason stands in place of a sample that could not be taken."""
    seen, findings = [], list[Finding]()
    for name, sample in samples.items():
        seen.append(_seen(params, name, sample))
        if isinstance(sample, str):
            continue
        for check in (check_columns, check_keys, check_contract):
            findings += check(sample)
        findings += check_known_at(sample, as_of, replaying)
    findings += check_features(params, samples)
    label, found = _label(params, samples, as_of)
    findings += found
    return _inspection(params, as_of, tuple(seen), label, findings)


def _inspection(
    params: Params, as_of: datetime, seen: tuple[TableSeen, ...], label: LabelSeen | None, findings: list[Finding]
) -> Inspection:
    findings.sort(key=lambda finding: SEVERITIES.index(finding.severity))
    return Inspection(name=params.name, as_of=as_of, tables=seen, label=label, findings=tuple(findings))


def _label(
    params: Params, samples: Mapping[str, Sample | str], as_of: datetime
) -> tuple[LabelSeen | None, list[Finding]]:
    rows, labels = (samples.get(name) for name in (params.prediction.rows, params.label_table))
    if not isinstance(rows, Sample) or not isinstance(labels, Sample):
        return None, []
    outcome = find_outcome(params, rows, labels)
    return describe_label(outcome), list(_label_findings(params, outcome, as_of))


def _label_findings(params: Params, outcome: Any, as_of: datetime) -> Iterator[Finding]:
    yield from check_label(params, outcome, as_of)
    if outcome.labelled.any():
        yield from check_leaks(params, outcome)


def _seen(params: Params, name: str, sample: Sample | str) -> TableSeen:
    if isinstance(sample, str):
        failed = isinstance(sample, NotRead)
        return TableSeen(name=name, source=_source(params.tables[name]), reason=sample, failed=failed)
    return _table(sample)


def _table(sample: Sample) -> TableSeen:
    import numpy as np

    known = sample.known_at()
    known = known[~np.isnat(known)]
    ends = [moment(known.min()), moment(known.max())] if len(known) else [None, None]
    return TableSeen(
        name=sample.name, source=_source(sample.spec), rows=sample.rows, known_from=ends[0], known_to=ends[1],
        columns=describe_columns(sample),
    )  # fmt: skip


def _source(spec: Table) -> str:
    """Kind and options that say where it is, such as `csv drops/jobs-*.csv`."""
    first = next((str(value) for key, value in spec.source.items() if key != "kind"), "")
    return f"{spec.source['kind']} {first}".strip()
