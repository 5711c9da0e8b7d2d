"""Comparison with the published arrays: claims about them, and whether a model reproduces them."""
