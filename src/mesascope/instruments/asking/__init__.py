"""How a subject is asked: what an instrument needs, answers in batches, which positions hold which tokens."""
