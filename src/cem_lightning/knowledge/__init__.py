"""Text about what is not known: corpora, retrieval, cleaning, decontamination."""
