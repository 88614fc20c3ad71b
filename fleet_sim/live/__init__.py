"""Breaking a fleet while it runs, by command line, HTTP or test.

verbs `break`, `heal` ── HTTP ──► guard, routes ─► Desk ─┐            ┌► Here: this process
                      (client)    the server's thread    ├► LiveFaults ┤
a test's `chaos` ────────────────────────────────────────┘ the run's   └► Crew: its workers
                                                           own loop
"""
