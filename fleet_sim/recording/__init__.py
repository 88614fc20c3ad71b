"""Live traffic made into a file that may be shown around: captured, scrubbed, and its rhythm kept.

    broker ──► capture ──► scrub ──► lines (JSON, one frame each) ──► replay
                                         └──► rhythm ──► a scenario that is as busy

`lines` is the format, `pseudonyms` and `vocabulary` are what `scrub` replaces by and leaves alone.
"""
