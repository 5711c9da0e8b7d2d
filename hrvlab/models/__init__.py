"""Model families: loading pipelines, and naming their attention heads and tokens."""
