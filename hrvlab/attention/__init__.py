"""Inside the forward pass: observers (taps) and interventions (edits) on cross-attention."""

from hrvlab.attention.edits import Rescale
from hrvlab.attention.hooks import Attachment, attach
from hrvlab.attention.taps import ConceptVotes, SpatialMaps, TokenMeans

__all__ = ["Attachment", "ConceptVotes", "Rescale", "SpatialMaps", "TokenMeans", "attach"]
