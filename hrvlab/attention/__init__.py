"""Observers (taps) of and interventions (edits) on cross-attention within the forward pass."""

from hrvlab.attention.edits import Rescale
from hrvlab.attention.hooks import Attachment, Part, attach
from hrvlab.attention.injection import Injection
from hrvlab.attention.taps import SpatialMaps, TokenMeans
from hrvlab.attention.voting import PUBLISHED_RULE, ConceptVotes, VotingRule

__all__ = [
    "PUBLISHED_RULE",
    "Attachment",
    "ConceptVotes",
    "Injection",
    "Part",
    "Rescale",
    "SpatialMaps",
    "TokenMeans",
    "VotingRule",
    "attach",
]
