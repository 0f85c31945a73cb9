"""Pages of the web, fetched fast, politely and safely."""
