"""Observers (taps) of and interventions (edits) on cross-attention within the forward pass."""

from hrvlab.attention.calls import Unedited
from hrvlab.attention.edits import Rescale
from hrvlab.attention.injection import Injection
from hrvlab.attention.session import Part, Session, attach
from hrvlab.attention.taps import SpatialMaps, TokenMeans
from hrvlab.attention.voting import PUBLISHED_RULE, ConceptVotes, VotingRule

__all__ = [
    "PUBLISHED_RULE",
    "ConceptVotes",
    "Injection",
    "Part",
    "Rescale",
    "Session",
    "SpatialMaps",
    "TokenMeans",
    "Unedited",
    "VotingRule",
    "attach",
]
