"""What is trained on: recipes, assembly, and the streaming DataModule."""
