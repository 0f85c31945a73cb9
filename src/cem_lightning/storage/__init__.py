"""Files that appear whole or not at all, digests, locks and the store of finished stages."""
