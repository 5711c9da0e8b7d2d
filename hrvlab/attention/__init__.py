"""Inside the forward pass: observers (taps) and interventions (edits) on cross-attention."""

from hrvlab.attention.ballots import PUBLISHED_BALLOT, Ballot, ConceptVotes
from hrvlab.attention.borrow import Borrow
from hrvlab.attention.edits import Rescale
from hrvlab.attention.hooks import Attachment, Part, attach
from hrvlab.attention.taps import SpatialMaps, TokenMeans

__all__ = [
    "PUBLISHED_BALLOT",
    "Attachment",
    "Ballot",
    "Borrow",
    "ConceptVotes",
    "Part",
    "Rescale",
    "SpatialMaps",
    "TokenMeans",
    "attach",
]
