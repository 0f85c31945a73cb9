"""Text about a passage that nobody has written: by a model, or by rules."""
