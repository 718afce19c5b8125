"""Source C's controlled experiments: small networks that differ in one thing each, trained together, over many seeds."""
