"""Observers (taps) of and interventions (edits) on attention within the forward pass."""

from hrvlab.attention.calls import Unedited
from hrvlab.attention.edits import Rescale
from hrvlab.attention.injection import Injection
from hrvlab.attention.passive import PassiveVotes, concept_votes
from hrvlab.attention.session import Part, Session, attach
from hrvlab.attention.taps import SpatialMaps, TokenMeans
from hrvlab.attention.voting import PUBLISHED_RULE, ConceptVotes, VotingRule

__all__ = [
    "PUBLISHED_RULE",
    "ConceptVotes",
    "Injection",
    "Part",
    "PassiveVotes",
    "Rescale",
    "Session",
    "SpatialMaps",
    "TokenMeans",
    "Unedited",
    "VotingRule",
    "attach",
    "concept_votes",
]
