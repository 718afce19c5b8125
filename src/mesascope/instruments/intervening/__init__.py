"""What changes when activations are overwritten: patching, ablation, substitution, causal tests."""
