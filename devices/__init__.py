"""What a device is, whoever made it: pure values and tables, no clock, no I/O, no chance."""
