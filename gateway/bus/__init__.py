"""Where events go. Every sink has its own cursor, so a dead one delays nobody else."""
