"""The conditions of disambiguation: factors of heads, and settings of adjusting to choose among."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from hrvlab.experiments.conditions import Prompt
from hrvlab.methods.steering import adjust, adjusting_factors, strengthening_factors
from hrvlab.models.heads import cross_attention_layers
from hrvlab.models.tokens import ENDS
from hrvlab.relevance.vectors import concept_vector

if TYPE_CHECKING:
    from torch import nn

    from hrvlab.experiments.disambiguation.cases import AmbiguousWord
    from hrvlab.typing import HeadFactors

PLAIN, ADJUSTING, REWORDED, REVERSED = "plain", "adjusting", "reworded", "reversed"
OWN_WORD = "word"  # in a setting, stands for the word of each case
# Gain and loss. The factors average their difference; with the last three the word weighs more.
COEFFICIENTS = ((1.5, 0.5), (3, 2), (4, 3), (6, 5), (2, 0), (4, 0), (4, 1))
TOPS = (8, 16, 32)
CLAMPS = (2, 4)


def make_factors(
    hrv: xr.DataArray, case: AmbiguousWord, *, gain: float = 2.0, loss: float = 1.0, seed: int = 0
) -> dict[str, HeadFactors]:
    """Compute the factors of every condition that generates a case's own prompt.

    Parameters
    ----------
    hrv : xarray.DataArray, dims (concept, head_position)
    case : AmbiguousWord
    gain, loss : float
        Of adjusting.
    seed : int
        Of the shuffling.

    Returns
    -------
    dict of str to ndarray of float64, shape (head_position,)
        ``"plain"``, all 1; ``"adjusting"`` and ``"strengthening"``, the published methods;
        ``"uniform"``, the root mean square of the adjusting factors for every head; ``"shuffled
        heads"``, the adjusting factors on the wrong heads.

    Raises
    ------
    ConceptError
        If one of the case's concepts has no vector.
    """
    toward, away = (concept_vector(hrv, name).values for name in (case.toward, case.away))
    adjusting = adjusting_factors(toward, away, gain=gain, loss=loss)
    rng = np.random.Generator(np.random.Philox(key=seed))
    return {
        PLAIN: np.ones_like(adjusting),
        ADJUSTING: adjusting,
        "strengthening": strengthening_factors(toward, 1.0),
        "uniform": np.full_like(adjusting, np.sqrt((adjusting**2).mean())),
        "shuffled heads": rng.permutation(adjusting),
    }


def candidate_settings(denoiser: nn.Module, calls: int) -> dict[str, dict[str, Any]]:
    """List settings of adjusting, most of which differ from the published one in a single respect.

    Parameters
    ----------
    denoiser : torch.nn.Module
    calls : int
        Denoiser calls of an image.

    Returns
    -------
    dict of str to dict
        Keywords of `hrvlab.adjust`, by name: other gains and losses; a part of the calls; the
        layers of one block, or of one grid; only the heads in which the concepts differ most;
        clamped vectors; attention to the end token and the padding as well as the word, or to them
        alone, where ``"word"`` stands for each case's own; and ``"reversed"``, toward the unwanted
        concept, which should do harm.
    """
    layers = cross_attention_layers(denoiser)
    blocks = dict.fromkeys(layer.block for layer in layers)
    grids = sorted({layer.grid for layer in layers}, reverse=True)
    quarter, half = max(calls // 4, 1), max(calls // 2, 1)
    return {
        **{
            f"gain {gain:g}, loss {loss:g}": {"gain": gain, "loss": loss}
            for gain, loss in COEFFICIENTS
        },
        "first quarter": {"window": (0, quarter)},
        "first half": {"window": (0, half)},
        "second half": {"window": (half, None)},
        **{
            f"{block} only": {"layers": [layer.index for layer in layers if layer.block == block]}
            for block in blocks
        },
        **{
            f"{grid} × {grid} only": {
                "layers": [layer.index for layer in layers if layer.grid == grid]
            }
            for grid in grids
        },
        **{f"top {top}": {"top": top} for top in TOPS},
        **{f"clamp {clamp:g}": {"clamp": clamp} for clamp in CLAMPS},
        "end only": {"word": ENDS},
        "word and end": {"word": (OWN_WORD, *ENDS)},
        "word and end, first half": {"word": (OWN_WORD, *ENDS), "window": (0, half)},
        "word and end, gain 1.5, loss 0.5": {"word": (OWN_WORD, *ENDS), "gain": 1.5, "loss": 0.5},
        "word and end, gain 1, loss 0": {"word": (OWN_WORD, *ENDS), "gain": 1.0, "loss": 0.0},
        REVERSED: {"gain": -1.0, "loss": -2.0},
    }


def adjusting_conditions(
    hrv: xr.DataArray, cases: Sequence[AmbiguousWord], settings: Mapping[str, Mapping[str, Any]]
) -> dict[str, list[Prompt]]:
    """Build the conditions that adjust every case's word under every setting.

    Parameters
    ----------
    hrv : xarray.DataArray, dims (concept, head_position)
    cases : sequence of AmbiguousWord
    settings : mapping of str to mapping
        Keywords of `hrvlab.adjust`, by the settings' names.

    Returns
    -------
    dict of str to list of Prompt
        For the parameter ``others`` of `disambiguate`.

    Raises
    ------
    ConceptError
        If one of the cases' concepts has no vector.
    ParameterError
        If a setting leaves no head to adjust.
    """

    def condition(
        index: int, case: AmbiguousWord, word: Sequence[str] = (OWN_WORD,), **keywords: Any
    ) -> Prompt:
        words = [case.word if name == OWN_WORD else name for name in word]
        edit = adjust(hrv, toward=case.toward, away=case.away, word=words, **keywords)
        return Prompt(case.prompt, index, edit)

    return {
        name: [condition(index, case, **keywords) for index, case in enumerate(cases)]
        for name, keywords in settings.items()
    }
