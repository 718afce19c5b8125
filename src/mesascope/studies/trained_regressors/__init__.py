"""What networks trained on linear regression do: source B's claims, and ours."""
