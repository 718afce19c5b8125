"""Numbers with intervals: the bootstrap, regressions scored on other prompts, differences, the one error for all comparisons."""
