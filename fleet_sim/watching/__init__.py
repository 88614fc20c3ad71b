"""Watching a run, and what came of it: report page, JUnit, Prometheus and a small server.

All of it is made from plain values: a report (`fleet_sim.report`) or a `fleet_sim.meter.Moment`.
"""
