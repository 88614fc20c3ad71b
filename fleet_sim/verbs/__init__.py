"""The subcommands of `doorfleet-sim`, a module each: HELP, arguments(sub), act(options).

Three modules are no subcommands but what several share: `common`, `identity` and `outputs`.
"""
