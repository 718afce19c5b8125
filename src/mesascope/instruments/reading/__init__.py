"""What a residual stream holds: readouts, linear probes, the answer that can be read after every layer."""
