"""An extension of Chaos Toolkit: its experiments break a running fleet, and ask who was hurt.

    "provider": {"type": "python", "module": "fleet_sim.chaostoolkit.actions",
                 "func": "break_vendor", "arguments": {"vendor": "nuki", "fault": "hang"}}

Actions and rollbacks are functions of `actions`, probes of `probes`, and `controls` is a control.
Nothing here needs more than Python: the run is spoken to over HTTP, and found as `doorfleet-sim
break` finds it (`at`, or DOORFLEET_RUN, or the only run of this user on this machine).
"""
