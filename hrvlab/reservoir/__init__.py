"""Queries recorded once, and heads asked about words later, without the model."""
