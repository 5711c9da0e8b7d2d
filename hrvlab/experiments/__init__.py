"""Experiments that test and apply Head Relevance Vectors."""
