"""Which tokens attention looks at, which features of them decide that, and what it carries."""
