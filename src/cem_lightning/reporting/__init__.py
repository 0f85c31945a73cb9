"""What a reader sees: tables, the HTML report, comparison, Weights & Biases."""
