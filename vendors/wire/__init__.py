"""Transports that both ends of a wire use: the gateway and the simulated device."""
