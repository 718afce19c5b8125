"""Where attention looks, and what it carries."""
