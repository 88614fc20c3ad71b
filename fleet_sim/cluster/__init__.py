"""One run on many processes and machines: shards, a start barrier, lost workers, one report.

- `plan`: who does what, and what follows when a worker is lost; pure
- `worker`, `shard_run`: one shard in a process of its own
- `local`: workers on this machine
- `ray_cluster`: workers on a Ray cluster
- `coordinate`: drives them to the end, and tells how far they are
- `merge`: what the shards found, as one run would have found it
- `run`: all of it, from the start to the report
"""
