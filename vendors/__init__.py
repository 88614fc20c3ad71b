"""How each vendor says it: one folder per vendor with the same small files."""
