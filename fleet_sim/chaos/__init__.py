"""Experiments: break something on purpose, and prove who was hurt and who was not."""
