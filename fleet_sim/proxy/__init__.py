"""A fault proxy for systems that are not ours: TCP, and what MQTT, HTTP and TLS say over it.

     client ─► Link ─► upstream          a Link is two Ways, each with a pure Flow in it
                 │
      cutter ─► message toxics ─► byte toxics ─► socket

It speaks the HTTP API of Toxiproxy, for the toxics that both have (`fleet_sim.proxy.api`).
"""
