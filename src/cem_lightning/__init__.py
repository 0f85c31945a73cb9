"""Continue Evolving from Mistakes: find what a language model does not know, and teach it."""
