"""The model card: one page a version, of what was recorded with its build."""
