"""hrvlab: the interpretability workbench for cross-attention heads of text-to-image models."""

from hrvlab.attention import Rescale, attach
from hrvlab.capture import attention_by_word, capture
from hrvlab.concepts import ConceptSet
from hrvlab.experiments.editing import edit
from hrvlab.experiments.excitation import Excitation
from hrvlab.experiments.neglect import excite
from hrvlab.experiments.scoring import clip_score, judge_score
from hrvlab.experiments.steering import adjust, strengthen
from hrvlab.experiments.weakening import weaken
from hrvlab.generation import generate
from hrvlab.models.heads import head_table
from hrvlab.models.load import load
from hrvlab.prompts import read_prompts
from hrvlab.relevance import accessor as _accessor  # noqa: F401  (registers .hrv)
from hrvlab.relevance.vectors import load_relevance, relevance_from_array, save_relevance
from hrvlab.relevance.votes import collect_votes

__all__ = [
    "ConceptSet",
    "Excitation",
    "Rescale",
    "adjust",
    "attach",
    "attention_by_word",
    "capture",
    "clip_score",
    "collect_votes",
    "edit",
    "excite",
    "generate",
    "head_table",
    "judge_score",
    "load",
    "load_relevance",
    "read_prompts",
    "relevance_from_array",
    "save_relevance",
    "strengthen",
    "weaken",
]
