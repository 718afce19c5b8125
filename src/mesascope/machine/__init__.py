"""The machine's resources: devices, memory, processes."""
