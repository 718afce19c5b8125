"""What conditioning, dimension and scale do to learners in context: source A's sweeps, and ours."""
