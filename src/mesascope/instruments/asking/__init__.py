"""How a subject is asked: what it must have, its answers batch by batch, which positions hold what."""
