"""Votes of all heads, from which the vectors of all other studies are built."""

from hrvlab.experiments.votes.study import run_votes, vectors

__all__ = ["run_votes", "vectors"]
