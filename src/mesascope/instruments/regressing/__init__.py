"""A subject beside regressors on the same examples: errors, ranks, whose answers its own are like, and learning curves."""
