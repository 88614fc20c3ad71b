"""The subcommands of `doorfleet-sim`, a module each: HELP, arguments(sub), act(options)."""
