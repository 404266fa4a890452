"""Validating a chunk of raw files: one suite for all of their rows, then a verdict, files and a record for each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from evergreen.faults import point
from evergreen.files import naming, publish
from evergreen.params.tables import Table
from evergreen.paths import file_sha256
from evergreen.quality.contract import REASON, ROW, Kind, Rule, rules_of
from evergreen.quality.expressions import known_after, without_known_at
from evergreen.quality.frame import SchemaBroken, read_raw, to_frame
from evergreen.quality.judge import judge, mark_bad, reasons_of
from evergreen.quality.owners import Owners
from evergreen.quality.plan import Target
from evergreen.quality.records import Failure, FileValidation, write_record
from evergreen.quality.rejected import rejected
from evergreen.quality.repeats import repeats
from evergreen.quality.suite import find_broken

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa

_OUR_OWN: tuple[Kind, ...] = ("unique", "ahead", "key")  # not Great Expectations': they look beyond a single row


@dataclass(frozen=True)
class Checker:
    """The contract of the table `name`, ready to be held against its raw files."""

    lake: Path
    name: str
    table: Table
    time_zone: str
    rules: tuple[Rule, ...]

    @classmethod
    def of(cls, lake: Path, name: str, table: Table, time_zone: str) -> Checker:
        """Raises ParamsError where the contract itself is wrong."""
        return cls(lake, name, table, time_zone, tuple(rules_of(name, table, time_zone)))

    def check(
        self, chunk: Sequence[Target], records: dict[str, FileValidation], order: Mapping[str, datetime]
    ) -> dict[str, Any]:
        """Validate the files of a chunk, write their results and put them into `records`; the suite's result.

        `order` is all raw paths of the table in manifest order, by which `unique` values find their first key, each
        with the `as_of` of the ingest that brought it, from which `ahead` counts.
        Results are those of each file validated alone.
        """
        import pyarrow as pa

        loaded: list[tuple[Target, pa.Table, list[Failure]]] = []
        for target in chunk:
            try:
                loaded.append((target, *read_raw(self.lake, target.file, self.table)))
            except SchemaBroken as broken:
                self._keep(records, _unreadable(target, str(broken)))
        if not loaded:
            return {"rows": 0, "results": []}
        together = pa.concat_tables([data for _, data, _ in loaded])
        found, suite = self._row_rules(together)
        places = {path: place for place, path in enumerate(order)}
        owners = Owners(self.table, together, self._others(chunk, records, places)) if self._has_unique else None
        start = 0
        for target, data, absent in loaded:
            end = start + data.num_rows
            mine = {rule: _between(numbers, start, end) for rule, numbers in found.items()}
            if (ahead := self._place("ahead")) is not None and self.table.ahead is not None:
                limit = order[target.file.path] + self.table.ahead
                mine[ahead] = known_after(numbered(data), self.name, self.table, self.time_zone, limit)
            record = self._finish(target, numbered(data), mine, absent, owners, places[target.file.path])
            self._keep(records, record)
            start = end
        return suite

    @property
    def _has_unique(self) -> bool:
        return self._place("unique") is not None

    def _place(self, kind: Kind) -> int | None:
        return next((place for place, rule in enumerate(self.rules) if rule.kind == kind), None)

    def _others(
        self, chunk: Sequence[Target], records: Mapping[str, FileValidation], places: Mapping[str, int]
    ) -> list[tuple[int, Path]]:
        """The clean files that count for raw files before those of `chunk`, each with its place in manifest order."""
        mine = {target.file.path for target in chunk}
        last = max(places[raw] for raw in mine)
        others = (record for raw, record in records.items() if raw not in mine and places[raw] < last)
        found = ((places[record.raw], record.require_clean(self.lake, self.name)) for record in others)
        return [(place, path) for place, path in found if path is not None]

    def _row_rules(self, data: pa.Table) -> tuple[dict[int, np.ndarray[Any, Any]], dict[str, Any]]:
        """The rows of `data` that break each rule of a single row, by the rule's place; and the suite's result."""
        import numpy as np

        places = [place for place, rule in enumerate(self.rules) if rule.kind not in _OUR_OWN]
        if data.num_rows == 0:
            return {place: np.empty(0, dtype=np.int64) for place in places}, {"rows": 0, "results": []}
        rules = [self.rules[place] for place in places]
        frame = to_frame(data, self.table, rules)
        moment = "known_at"
        while moment in frame:
            moment = f"_{moment}"
        missing = without_known_at(numbered(data), self.name, self.table, self.time_zone)
        known = np.zeros(data.num_rows)
        known[missing] = np.nan
        frame[moment] = known  # 0, or NaN where the expression has no value
        broken, suite = find_broken(frame, rules, [rule.column or moment for rule in rules])
        return dict(zip(places, broken, strict=True)), suite

    def _finish(
        self, target: Target, data: pa.Table, broken: dict[int, np.ndarray[Any, Any]], absent: list[Failure],
        owners: Owners | None, place: int,
    ) -> FileValidation:  # fmt: skip
        """Add what `unique` and `key` find, judge the file and write its clean and quarantine files."""
        import pyarrow as pa

        for number, rule in enumerate(self.rules):
            if owners is not None and rule.kind == "unique" and rule.column is not None:
                admissible = ~mark_bad(data.num_rows, self.rules, broken)
                broken[number] = owners.broken(rule.column, data, place, admissible)
            elif rule.kind == "key":  # the last one: what is in quarantine by now corrects nothing
                broken[number] = repeats(data, self.table, ~mark_bad(data.num_rows, self.rules, broken))
        verdict = judge(data, self.table, self.rules, broken, rejected(self.lake, target.file))
        clean = clean_sha256 = quarantine = quarantine_sha256 = None
        if not verdict.critical:
            clean, clean_sha256 = self._write("clean", target, data.filter(pa.array(~verdict.bad)))
        if owners is not None and clean is not None:
            owners.take(data.filter(pa.array(~verdict.bad)), place)
        if verdict.bad.any():
            reasons = pa.array(reasons_of(self.rules, broken, verdict.bad), pa.string())
            out = data.filter(pa.array(verdict.bad)).append_column(REASON, reasons)
            quarantine, quarantine_sha256 = self._write("quarantine", target, out)
        return FileValidation(
            raw=target.file.path, contract=target.contract, clean=clean, clean_sha256=clean_sha256,
            quarantine=quarantine, quarantine_sha256=quarantine_sha256, rows=data.num_rows,
            quarantined=int(verdict.bad.sum()), rejects=target.file.rejects.rows if target.file.rejects else 0,
            critical=verdict.critical, failures=(*absent, *verdict.failures),
        )  # fmt: skip

    def _write(self, kind: str, target: Target, rows: pa.Table) -> tuple[str, str]:
        return write_rows(self.lake, kind, self.name, target.file.path, target.contract, rows)

    def _keep(self, records: dict[str, FileValidation], record: FileValidation) -> None:
        write_record(self.lake, self.name, record)
        records[record.raw] = record
        point("validate.record")


def write_rows(lake: Path, kind: str, name: str, raw: str, suffix: str, rows: pa.Table) -> tuple[str, str]:
    """Write a raw file's clean or quarantine Parquet; its place in the lake and its hash."""
    import pyarrow.parquet as pq

    from evergreen.lake.schema import ROW_GROUP, WRITER

    place = f"{kind}/{name}/{PurePosixPath(raw).stem}.{suffix}.parquet"
    path = lake / place
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.part")  # the table's lock is held: a killed run's is overwritten
    with naming(path):
        pq.write_table(rows, temporary, row_group_size=ROW_GROUP, **WRITER)
    sha256 = file_sha256(temporary)
    publish(temporary, path)
    point(f"validate.{kind}")
    return place, sha256


def numbered(data: pa.Table) -> pa.Table:
    import numpy as np
    import pyarrow as pa

    return data.append_column(ROW, pa.array(np.arange(data.num_rows, dtype=np.int64)))


def _between(numbers: np.ndarray[Any, Any], start: int, end: int) -> np.ndarray[Any, Any]:
    low, high = numbers.searchsorted([start, end])
    return numbers[low:high] - start


def _unreadable(target: Target, reason: str) -> FileValidation:
    """The record of a file whose schema is broken: none of its rows could be read as the table's."""
    failure = Failure(
        column=None, rule="schema", severity="critical", count=target.file.rows, share=1.0, expected=reason
    )
    return FileValidation(
        raw=target.file.path, contract=target.contract, clean=None, clean_sha256=None, quarantine=None,
        quarantine_sha256=None, rows=target.file.rows, quarantined=0, critical=reason, failures=(failure,),
    )  # fmt: skip
