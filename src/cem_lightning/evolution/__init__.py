"""The round loop: stages, their keys, and the comparison of runs."""
