"""Statistics with intervals: the bootstrap, ridge regressions scored on held-out prompts, differences, one error measure."""
