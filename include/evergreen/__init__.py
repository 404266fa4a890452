"""Evergreen keeps a tabular model fresh: ingest, check, version, train, gate, promote, score, watch, retrain."""
