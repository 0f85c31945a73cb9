"""Loading models and tokenizers, and turning text into token ids and masks."""
