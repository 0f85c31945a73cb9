"""Asking a model: scoring engines, outcomes, metrics and statistics."""
