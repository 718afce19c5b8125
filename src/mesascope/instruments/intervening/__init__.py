"""How the answers change when activations or prompts are edited: patching, ablation, substitution, influence, causal tests."""
