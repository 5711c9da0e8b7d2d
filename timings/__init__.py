"""Measurements of what hrvlab costs, against plain generation and a naive implementation."""
