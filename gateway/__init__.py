"""From frame to bus, and from command to device: one cell per vendor, one supervisor over them."""
