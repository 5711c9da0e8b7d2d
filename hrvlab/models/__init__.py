"""Which pipelines hrvlab understands, and how it names their heads and tokens."""
