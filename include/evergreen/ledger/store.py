"""The ledger: append-only, safe for several processes, and idempotent (what is there already is returned)."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Connection, Engine, Select, Table, insert, select
from sqlalchemy.exc import IntegrityError

from evergreen.errors import EvergreenError
from evergreen.ledger.engine import ledger_engine, reading, writing
from evergreen.ledger.records import Decision, Promotion, Request, Window
from evergreen.ledger.rows import R, from_row, iso, to_row
from evergreen.ledger.tables import answers, decisions, promotions, requests, windows
from evergreen.paths import Home


class Ledger:
    """Decisions, promotions, requests and windows of every use case of one home."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    @classmethod
    def open(cls, home: Home) -> Ledger:
        """The ledger of `home`, made on first use; raises EvergreenError where it is unreachable."""
        return cls(ledger_engine(home))

    # Decisions

    def record_decision(self, decision: Decision) -> Decision:
        """Record it; where its id is taken, the decision recorded first is returned and stands."""
        self._insert(decisions, to_row(decision))
        stored = self.decision(decision.id)
        _same_use_case(decision.name, stored.name, decision.id)
        return stored

    def decision(self, id_: str) -> Decision:
        """The decision with this id; raises EvergreenError where there is none."""
        found = self.find_decision(id_)
        if found is None:
            raise EvergreenError(f"there is no decision `{id_}` in the ledger; `evergreen decisions list` has them")
        return found

    def find_decision(self, id_: str) -> Decision | None:
        """The decision with this id, if there is one."""
        found = self._read(Decision, select(decisions).where(decisions.c.id == id_))
        return found[0] if found else None

    def decisions(self, name: str, limit: int | None = None) -> list[Decision]:
        """The use case's decisions in order of recording, newest first."""
        query = select(decisions).where(decisions.c.name == name).order_by(decisions.c.seq.desc()).limit(limit)
        return self._read(Decision, query)

    def evidence(self) -> set[str]:
        """The hashes of the evidence that decisions were made on, of every use case."""
        with reading(self._engine) as connection:
            named = connection.execute(select(decisions.c.evidence).where(decisions.c.evidence.is_not(None)))
            return set(named.scalars())

    # Promotions

    def record_promotion(self, promotion: Promotion) -> Promotion:
        """Record it; a decision promotes once, so its first promotion is returned and stands.

        Raises EvergreenError where `previous_build` is not (or no longer) the champion's, or where `as_of` is
        before the champion's promotion: who predicted what in the past is not rewritten.
        """
        self.decision(promotion.decision)
        for _ in range(10):
            try:
                with writing(self._engine) as connection:
                    return self._promote(connection, promotion)
            except IntegrityError as error:  # another promotion took the number between our reading and writing
                problem = error
        raise EvergreenError(f"the promotion of `{promotion.build}` could not be recorded: {problem.orig}")

    def champion(self, name: str, at: datetime | None = None) -> Promotion | None:
        """The champion at the moment `at` (default: the latest): the last promotion with `as_of <= at`."""
        query = _promotions(name).limit(1)
        found = self._read(Promotion, query if at is None else query.where(promotions.c.as_of <= iso(at)))
        return found[0] if found else None

    def promotions(self, name: str) -> list[Promotion]:
        """The use case's promotions, newest first."""
        return self._read(Promotion, _promotions(name))

    def _promote(self, connection: Connection, promotion: Promotion) -> Promotion:
        known = select(promotions).where(promotions.c.decision == promotion.decision)
        if row := connection.execute(known).mappings().first():
            return from_row(Promotion, dict(row))
        last = connection.execute(_promotions(promotion.name).limit(1)).mappings().first()
        build = last["build"] if last else None
        if build != promotion.previous_build:
            raise EvergreenError(
                f"`{promotion.build}` was to follow the champion `{promotion.previous_build}`, but that is "
                f"`{build}`; run the retrain again, so that the gate compares with it"
            )
        if last and iso(promotion.as_of) < last["as_of"]:
            raise EvergreenError(
                f"`{promotion.build}` cannot be promoted as of {iso(promotion.as_of)}: `{build}` was "
                f"promoted as of {last['as_of']}, and the past is not rewritten; use a later `as_of`"
            )
        # One more than that of the row just judged, not than what is there by now: where the database lets two judge
        # the same row at once, as PostgreSQL does, the second finds its number taken.
        number = last["number"] + 1 if last else 1
        connection.execute(insert(promotions).values(**to_row(promotion), number=number))
        return promotion

    # Requests

    def raise_request(self, request: Request) -> tuple[Request, bool]:
        """Record a retrain request; returns the stored one, and whether it is new."""
        row = to_row(request)
        del row["answered_by"]
        new = self._insert(requests, row)
        stored = self._read(Request, _requests().where(requests.c.id == request.id))[0]
        _same_use_case(request.name, stored.name, request.id)
        return stored, new

    def requests(self, name: str) -> list[Request]:
        """The use case's requests in order of recording."""
        return self._read(Request, _requests().where(requests.c.name == name))

    def open_requests(self, name: str, as_of: datetime | None = None) -> list[Request]:
        """The requests that no decision has answered, in order of recording; only those raised by `as_of`."""
        query = _requests().where(requests.c.name == name, answers.c.decision.is_(None))
        return self._read(Request, query if as_of is None else query.where(requests.c.as_of <= iso(as_of)))

    def answer_requests(self, name: str, ids: Iterable[str], decision_id: str) -> list[Request]:
        """Answer requests by a decision; the first answer to a request stands. Returns the requests.

        Raises EvergreenError for a request or a decision that the ledger does not know.
        """
        wanted = sorted(set(ids))
        known = {request.id: request for request in self.requests(name)}
        if unknown := [id_ for id_ in wanted if id_ not in known]:
            raise EvergreenError(f"`{name}` has no retrain request {', '.join(unknown)}")
        _same_use_case(name, self.decision(decision_id).name, decision_id)
        for id_ in wanted:
            self._insert(answers, {"request": id_, "decision": decision_id, "created_at": iso(datetime.now(UTC))})
        return [request for request in self.requests(name) if request.id in wanted]

    # Windows

    def record_window(self, window: Window) -> Window:
        """Record a monitored window; where the same build's window is there already, that one is returned."""
        self._insert(windows, to_row(window))
        same = (
            windows.c.name == window.name,
            windows.c.build == window.build,
            windows.c.end == iso(window.end),
        )
        return self._read(Window, select(windows).where(*same))[0]

    def windows(self, name: str, build: str) -> list[Window]:
        """A build's windows in order of their end."""
        query = select(windows).where(windows.c.name == name, windows.c.build == build)
        return self._read(Window, query.order_by(windows.c.end))

    # Rows

    def _insert(self, table: Table, row: dict[str, Any]) -> bool:
        """Insert a row unless its key is taken; True where it was inserted."""
        try:
            with writing(self._engine) as connection:
                connection.execute(insert(table).values(**row))
        except IntegrityError:
            return False
        return True

    def _read(self, kind: type[R], query: Select[Any]) -> list[R]:
        with reading(self._engine) as connection:
            return [from_row(kind, dict(row)) for row in connection.execute(query).mappings()]


def _promotions(name: str) -> Select[Any]:
    return select(promotions).where(promotions.c.name == name).order_by(promotions.c.number.desc())


def _requests() -> Select[Any]:
    joined = requests.outerjoin(answers, answers.c.request == requests.c.id)
    return select(requests, answers.c.decision.label("answered_by")).select_from(joined).order_by(requests.c.seq)


def _same_use_case(name: str, stored: str, id_: str) -> None:
    if name != stored:
        raise EvergreenError(f"`{id_}` belongs to `{stored}`, not to `{name}`: ids must name their use case")
