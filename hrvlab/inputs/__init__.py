"""Inputs: concepts, prompts and cases, each given by a shipped name or a file."""
