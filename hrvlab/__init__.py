"""hrvlab: the interpretability workbench for attention heads of text-to-image diffusion models."""

from hrvlab.attention import Rescale, attach
from hrvlab.capture import attention_by_word, capture
from hrvlab.experiments.weakening.trial import weaken
from hrvlab.generation import generate
from hrvlab.inputs.concepts import ConceptSet
from hrvlab.inputs.prompts import read_prompts
from hrvlab.methods.attend_and_excite import excite
from hrvlab.methods.excitation import Excitation
from hrvlab.methods.prompt_to_prompt import edit
from hrvlab.methods.steering import adjust, strengthen
from hrvlab.models.heads import head_table
from hrvlab.models.load import load
from hrvlab.relevance import accessor as _accessor  # noqa: F401  (registers .hrv)
from hrvlab.relevance.io import load_relevance, save_relevance
from hrvlab.relevance.vectors import relevance_from_array
from hrvlab.relevance.votes import collect_votes
from hrvlab.scorers.clip import clip_score
from hrvlab.scorers.judge import judge_score
from hrvlab.scorers.pair_judge import pair_score
from hrvlab.statistics import mean_with_interval

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
    "mean_with_interval",
    "pair_score",
    "read_prompts",
    "relevance_from_array",
    "save_relevance",
    "strengthen",
    "weaken",
]
