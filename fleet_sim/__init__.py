"""A fleet, and everything that can go wrong with it."""
