"""What a residual stream holds: readouts, linear probes, the answer after every layer."""
