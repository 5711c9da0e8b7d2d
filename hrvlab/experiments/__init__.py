"""What Head Relevance Vectors are tested by and used for."""
