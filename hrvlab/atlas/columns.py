"""Columns of an atlas: a number for every head, or for every concept and head, with intervals."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from hrvlab.errors import ParameterError
from hrvlab.relevance.counts import holders
from hrvlab.relevance.uncertainty import bootstrap_relevance
from hrvlab.statistics import mean_of_present, mean_with_interval, percentile_interval

if TYPE_CHECKING:
    from hrvlab.atlas.panel import Panel

TOP_WORDS = 8
BARE = re.compile(r"^\W+|\W+$|\s\(\d+\)$")


@dataclass
class Table:
    """Columns and their arrays.

    Parameters
    ----------
    columns : list of dict
        Of each: ``name``, ``label``, ``unit``, ``scale`` (``"ratio"``: multiples of the mean head;
        ``"signed"``: may be negative; ``"share"``: in [0, 1]; ``"plain"``), ``reference`` (a number
        or None), ``by_concept``, ``interval``, and ``about``, one sentence.
    arrays : dict of str to ndarray of float32
        Of shape (concept, head_position) or (head_position); NaN where nothing was measured. The
        ends of intervals are named ``…_low`` and ``…_high``.
    notes : dict of str to object
        What the numbers rest on.
    vocabulary, word_index, word_share
        The words that heads attend to most, see `add_panel`.
    """

    columns: list[dict[str, Any]] = field(default_factory=list)
    arrays: dict[str, NDArray[np.float32]] = field(default_factory=dict)
    notes: dict[str, Any] = field(default_factory=dict)
    vocabulary: list[str] | None = None
    word_index: NDArray[np.uint16] | None = None
    word_share: NDArray[np.float32] | None = None

    def add(
        self,
        name: str,
        values: NDArray[np.floating],
        *,
        label: str,
        scale: str,
        about: str,
        unit: str = "",
        reference: float | None = None,
        ends: tuple[NDArray[np.floating], NDArray[np.floating]] | None = None,
    ) -> None:
        """Add a column."""
        self.columns.append(
            {
                "name": name,
                "label": label,
                "unit": unit,
                "scale": scale,
                "reference": reference,
                "by_concept": values.ndim == 2,
                "interval": ends is not None,
                "about": about,
            }
        )
        self.arrays[name] = values.astype(np.float32)
        for suffix, end in zip(("low", "high"), ends or (), strict=False):
            self.arrays[f"{name}_{suffix}"] = end.astype(np.float32)


def relevance_table(vectors: xr.DataArray, votes: xr.Dataset | None) -> Table:
    """Begin a table with the relevance, and its intervals if votes by prompt are known.

    Parameters
    ----------
    vectors : xarray.DataArray, dims (concept, head_position)
    votes : xarray.Dataset, optional

    Returns
    -------
    Table
    """
    table, ends = Table(), None
    if not vectors.sizes["concept"]:
        return table
    if votes is not None and "prompt" in holders(votes) and votes.sizes["prompt"] > 1:
        draws = bootstrap_relevance(votes.sel(concept=vectors["concept"].values))
        ends = percentile_interval(draws.transpose("draw", "concept", "head_position").values)
    table.add(
        "relevance",
        vectors.values,
        label="relevance",
        unit="×",
        scale="ratio",
        reference=1.0,
        ends=ends,
        about="Votes for the concept, as a multiple of the mean head's",
    )
    return table


def add_effects(table: Table, effects: xr.Dataset | None, vectors: xr.DataArray) -> None:
    """Add measured effects of weakening each head alone, and attention to the word that is scored.

    Parameters
    ----------
    table : Table
        Changed in place.
    effects : xarray.Dataset, optional
        With the dim ``concept``; of several evaluators the first.
    vectors : xarray.DataArray, dims (concept, head_position)

    Raises
    ------
    ParameterError
        If the effects name no concept of the vectors.
    """
    if effects is None:
        return
    names = [str(name) for name in vectors["concept"].values]
    if "concept" not in effects.dims or not {*effects["concept"].values.tolist()} & {*names}:
        raise ParameterError(
            "the effects are of no concept of the vectors; give them a dim of its concept, as in "
            'effects.expand_dims(concept=["Color"])'
        )
    one = effects.isel(evaluator=0) if "evaluator" in effects.dims else effects
    found = mean_with_interval(one["effect"].transpose("concept", "head_position", ...))
    found = found.reindex(concept=names)
    factor = json.loads(effects.attrs.get("parameters", "{}")).get("factor", -2.0)
    table.notes["effect"] = {
        "factor": float(factor),
        "prompts": effects.sizes["prompt"],
        "seeds": effects.sizes["seed"],
        "evaluator": str(one["evaluator"].item()) if "evaluator" in one.coords else None,
    }
    table.add(
        "effect",
        found["mean"].values,
        label="measured effect",
        scale="signed",
        reference=0.0,
        ends=(found["low"].values, found["high"].values),
        about=f"Fall of the score when the head alone is multiplied by {factor:g}".replace(
            "-", "−"
        ),
    )
    if "attention" in one and {*one["attention"].dims} == {"concept", "head_position"}:
        attention = one["attention"].transpose("concept", "head_position").reindex(concept=names)
        table.add(
            "word_attention",
            attention.values,
            label="attention to its word",
            unit="%",
            scale="share",
            about="Share of the head's attention at the word that is scored",
        )


def add_panel(table: Table, panel: Panel | None) -> None:
    """Add what the panel shows: attention to words, entropy, and each head's top words.

    Parameters
    ----------
    table : Table
        Changed in place.
    panel : Panel, optional
    """
    if panel is None:
        return
    shares = panel.word_shares()
    table.notes["panel"] = {"prompts": len(panel.prompts)}
    table.add(
        "attention",
        np.nansum(shares, axis=-1).mean(0),
        label="attention to words",
        unit="%",
        scale="share",
        about="Share of the head's attention at words; the rest is at start, end and padding",
    )
    table.add(
        "entropy",
        panel.entropy(),
        label="entropy",
        unit="%",
        scale="share",
        about="How evenly the head spreads its attention over tokens; 100 % is evenly",
    )
    words = [[BARE.sub("", word).lower() for word in own] for own in panel.words]
    vocabulary = sorted({word for own in words for word in own if word})
    number = {word: at for at, word in enumerate(vocabulary)}
    totals = np.zeros((len(vocabulary), shares.shape[1]))
    counts = np.zeros(len(vocabulary))
    for prompt, own in enumerate(words):
        for at, word in enumerate(own):
            if word:
                totals[number[word]] += shares[prompt, :, at]
                counts[number[word]] += 1
    # A word of a single prompt says more of the prompt than of the head, where others are known.
    seen = counts >= (2 if (counts >= 2).sum() >= TOP_WORDS else 1)
    means = np.where(seen[:, None], totals / np.maximum(counts, 1)[:, None], -1).T
    top = np.argsort(-means, axis=1, kind="stable")[:, :TOP_WORDS]
    table.vocabulary = vocabulary
    table.word_index = top.astype(np.uint16)
    table.word_share = np.take_along_axis(means, top, 1).astype(np.float32)


def add_measures(table: Table, measures: Mapping[str, xr.DataArray], vectors: xr.DataArray) -> None:
    """Add further columns.

    Parameters
    ----------
    table : Table
        Changed in place.
    measures : mapping of str to xarray.DataArray
        By their labels.
    vectors : xarray.DataArray, dims (concept, head_position)

    Raises
    ------
    ParameterError
        If one has other dims, or other heads.
    """
    for number, (label, measure) in enumerate(measures.items()):
        dims = {*map(str, measure.dims)}
        if dims not in ({"head_position"}, {"concept", "head_position"}) or (
            measure.sizes["head_position"] != vectors.sizes["head_position"]
        ):
            raise ParameterError(
                f"the measure {label!r} has the dims {dict(measure.sizes)}; give "
                f"(head_position: {vectors.sizes['head_position']}), with concept or without"
            )
        ordered = measure.transpose(..., "head_position")
        if "concept" in dims:
            ordered = ordered.reindex(concept=vectors["concept"].values)
        values = ordered.values.astype(np.float64)
        signed = bool((values < 0).any())
        table.add(
            f"measure_{number}",
            values,
            label=str(label),
            scale="signed" if signed else "plain",
            reference=0.0 if signed else None,
            about=str(measure.attrs.get("long_name", label)),
        )
        mean = float(mean_of_present(values.ravel()))
        table.notes[f"measure_{number}"] = {"mean": None if np.isnan(mean) else mean}
