"""Which learning algorithm language models run in context: source C's claims, and ours."""
