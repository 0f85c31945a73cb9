"""Side-by-side measurements against peers; not part of the installed package."""
