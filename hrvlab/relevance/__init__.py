"""From votes to Head Relevance Vectors, and what can be said of them."""
