"""Whether hand-built networks do what the mathematics says: source C's synthetic panel, and ours."""
