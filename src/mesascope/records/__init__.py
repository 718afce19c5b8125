"""The files that runs leave on disk: only this package writes results and checkpoints."""
