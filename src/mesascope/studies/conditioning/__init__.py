"""What networks do that were trained on badly conditioned regressions: source A's claims, and ours."""
