"""Head Relevance Vectors: how they are built from votes, stored, and compared."""
