"""Decisions, promotions, retrain requests and monitored windows: append-only, in SQLite or by URL."""

from __future__ import annotations

from evergreen.ledger.records import Decision, Promotion, Request, Window
from evergreen.ledger.store import Ledger

__all__ = ["Decision", "Ledger", "Promotion", "Request", "Window"]
