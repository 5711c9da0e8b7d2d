"""Settings of adjusting to choose among, and the choice."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import xarray as xr
from diffusers import UNet2DConditionModel

from hrvlab.experiments.arms import Prompt
from hrvlab.experiments.forms import Case
from hrvlab.experiments.steering import adjust
from hrvlab.models.heads import cross_attention_layers
from hrvlab.models.tokens import ENDS

WORD, REVERSED = "word", "reversed"
# Gain and loss. The factors average their difference; with the last three the word weighs more.
COEFFICIENTS = ((1.5, 0.5), (3, 2), (4, 3), (6, 5), (2, 0), (4, 0), (4, 1))
TOPS = (8, 16, 32)
CLAMPS = (2, 4)


def candidate_settings(unet: UNet2DConditionModel, calls: int) -> dict[str, dict[str, Any]]:
    """Write down settings of adjusting, most of them unlike the published one in one thing only.

    Parameters
    ----------
    unet : diffusers.UNet2DConditionModel
    calls : int
        How often it is called for a picture.

    Returns
    -------
    dict of str to dict
        Keywords of `hrvlab.experiments.steering.adjust`: other gains and losses; a part of the
        calls; the layers of one place, or of one grid; the heads in which the concepts differ most;
        clamped vectors; attention to the end token and the padding too, or to them alone, where
        ``"word"`` stands for each case's own; and ``"reversed"``, toward the unwanted concept,
        which should do harm.
    """
    layers = cross_attention_layers(unet)
    places = dict.fromkeys(layer.place for layer in layers)
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
            f"{place} only": {"layers": [layer.index for layer in layers if layer.place == place]}
            for place in places
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
        "word and end": {"word": (WORD, *ENDS)},
        "word and end, first half": {"word": (WORD, *ENDS), "window": (0, half)},
        "word and end, gain 1.5, loss 0.5": {"word": (WORD, *ENDS), "gain": 1.5, "loss": 0.5},
        "word and end, gain 1, loss 0": {"word": (WORD, *ENDS), "gain": 1.0, "loss": 0.0},
        REVERSED: {"gain": -1.0, "loss": -2.0},
    }


def adjusting_arms(
    hrv: xr.DataArray, cases: Sequence[Case], settings: Mapping[str, Mapping[str, Any]]
) -> dict[str, list[Prompt]]:
    """Adjust every case's word under every setting.

    Parameters
    ----------
    hrv : xarray.DataArray, dims (concept, head_position)
    cases : sequence of Case
    settings : mapping of str to mapping
        Keywords of `hrvlab.experiments.steering.adjust`, by the settings' names.

    Returns
    -------
    dict of str to list of Prompt
        For `hrvlab.experiments.polysemy.disambiguate`.

    Raises
    ------
    ConceptError, ParameterError
    """

    def arm(index: int, case: Case, word: Sequence[str] = (WORD,), **keywords: Any) -> Prompt:
        words = [case.word if name == WORD else name for name in word]
        edit = adjust(hrv, toward=case.toward, away=case.away, word=words, **keywords)
        return Prompt(case.prompt, index, edit)

    return {
        name: [arm(index, case, **keywords) for index, case in enumerate(cases)]
        for name, keywords in settings.items()
    }


def choose_setting(found: xr.Dataset, settings: Sequence[str]) -> str:
    """Choose the setting that misreads least, over all pictures and witnesses.

    Parameters
    ----------
    found : xarray.Dataset
        From `hrvlab.experiments.polysemy.disambiguate`.
    settings : sequence of str
        Names of arms; of equally good ones the first is chosen.
    """
    misread = found["misread"].sel(arm=list(settings)).astype(float)
    rates = misread.mean([dim for dim in misread.dims if dim != "arm"])
    return settings[int(rates.values.argmin())]
