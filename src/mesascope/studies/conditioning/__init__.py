"""What conditioning, dimension and scale do to learners in context, trained and hand-built: source A's claims, and ours."""
