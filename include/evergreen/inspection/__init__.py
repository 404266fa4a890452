"""`evergreen check`: what a sample of each table says about params.yaml, and what to do about it.

`samples` reads, `report` prints, and all between them are functions of tables that return findings.
"""
