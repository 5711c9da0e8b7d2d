"""Everything that the explorer shows, as plain arrays and JSON."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from hrvlab.atlas.changes import Changed
from hrvlab.atlas.columns import add_effects, add_measures, add_panel, relevance_table
from hrvlab.atlas.panel import Panel, heads_of_capture, panel_of_capture
from hrvlab.atlas.records import (
    TOGETHER,
    Votes,
    featured_record,
    head_record,
    image_record,
)
from hrvlab.errors import ParameterError
from hrvlab.relevance.counts import counts_by_prompt, holders
from hrvlab.relevance.vectors import by_position, relevance, relevance_by_timestep

if TYPE_CHECKING:
    from hrvlab.atlas.columns import Table

SCHEMA = "hrvlab atlas 1"
PROVENANCE = (
    "model",
    "model_fingerprint",
    "scheduler",
    "guidance_scale",
    "seed",
    "dtype",
    "created",
    "hrvlab_version",
)
LISTED = 120  # prompts that are listed where no image was kept


@dataclass(frozen=True)
class AtlasData:
    """What an explorer shows.

    Parameters
    ----------
    first : dict of str to object
        The record that is loaded first; arrays are ndarrays.
    makers : mapping of str to callable () -> dict
        Makes each of the other records, by name: ``"heads/up_7_7"``, ``"images/00"`` and
        ``"featured"``.
    heads : list of str
        The name of every head, in order of the positions, such as ``"up.7.7"``.
    """

    first: dict[str, Any]
    makers: Mapping[str, Callable[[], dict[str, Any]]]
    heads: list[str]

    def record(self, name: str) -> dict[str, Any]:
        """Return a record by its name.

        Raises
        ------
        ParameterError
            If there is none.
        """
        if name not in self.makers:
            raise ParameterError(f"the atlas has no record {name!r}; the first one names its heads")
        return self.makers[name]()


def explorer_data(
    hrv: xr.DataArray | None = None,
    *,
    votes: xr.Dataset | None = None,
    effects: xr.Dataset | None = None,
    capture: xr.Dataset | xr.DataTree | Panel | None = None,
    changed: Changed | Sequence[Changed] = (),
    measures: Mapping[str, xr.DataArray] | None = None,
    name: str | None = None,
) -> AtlasData:
    """Collect what the explorer shows of every head.

    Parameters
    ----------
    hrv : xarray.DataArray, dims (concept, head_position), optional
        Head Relevance Vectors; default: those of the votes.
    votes : xarray.Dataset, optional
        From `hrvlab.collect_votes`: intervals, relevance by denoiser call, and prompts by decile.
    effects : xarray.Dataset, optional
        From `hrvlab.experiments.head_effects`, with a dim ``concept``.
    capture : xarray.Dataset, xarray.DataTree or Panel, optional
        From `hrvlab.capture` or `hrvlab.atlas.record_panel`: images, attention, maps.
    changed : Changed or sequence of Changed
        From `hrvlab.atlas.turn_heads`.
    measures : mapping of str to xarray.DataArray, optional
        Further columns by their labels, dims ``(head_position)`` or ``(concept, head_position)``.
    name : str, optional
        Of the model; default: as the vectors say.

    Returns
    -------
    AtlasData

    Raises
    ------
    ParameterError
        If neither vectors, votes nor a capture are given, or something is of other heads.

    Examples
    --------
    >>> from hrvlab.atlas import explorer_data
    >>> atlas = explorer_data(hrv)
    >>> atlas.first["arrays"]["relevance"].shape
    (17, 128)
    >>> sorted(atlas.record("heads/up_7_7"))
    ['changed']
    """
    if hrv is None and votes is not None:
        hrv = relevance(votes)
    elif hrv is None and isinstance(capture, xr.Dataset | xr.DataTree):
        hrv = heads_of_capture(capture)
    if hrv is None:
        raise ParameterError("an atlas needs relevance vectors, votes or a capture; give one")
    vectors = by_position(hrv)
    vectors = vectors.transpose("concept", "head_position")
    heads = vectors["head_position"].to_dataset(name="position").reset_coords("position", drop=True)
    heads = heads.assign_coords({n: vectors[n] for n in ("block", "block_layer", "layer", "head")})
    _check_heads(vectors, votes=votes, effects=effects)
    panel = capture if isinstance(capture, Panel | None) else panel_of_capture(capture, heads)
    turned = [changed] if isinstance(changed, Changed) else list(changed)

    table = relevance_table(vectors, votes)
    add_effects(table, effects, vectors)
    add_panel(table, panel)
    add_measures(table, measures or {}, vectors)
    prompts, own_votes = _prompts_and_votes(votes, panel, vectors)
    names = head_names(vectors)
    layer, head = vectors["layer"].values, vectors["head"].values
    forward = {number: at for at, number in enumerate(dict.fromkeys(layer.tolist()))}

    makers: dict[str, Callable[[], dict[str, Any]]] = {
        f"heads/{own.replace('.', '_')}": partial(
            head_record, at, int(layer[at]), int(head[at]), own_votes, panel, turned
        )
        for at, own in enumerate(names)
    }
    if panel is not None:
        for number in range(-(-len(panel.prompts) // TOGETHER)):
            makers[f"images/{number:02d}"] = partial(image_record, panel, number)
        if panel.featured:
            makers["featured"] = partial(featured_record, panel)
    attributes = {**(votes.attrs if votes is not None else {}), **vectors.attrs}
    first = {
        "schema": SCHEMA,
        "model": name or str(attributes.get("model", "model")),
        "provenance": {key: str(attributes[key]) for key in PROVENANCE if key in attributes},
        "layers": _layers(vectors, list(forward)),
        "concepts": [str(concept) for concept in vectors["concept"].values],
        "voted": None if votes is None else votes.sizes.get("prompt"),
        **_trust(vectors),
        "columns": table.columns,
        "arrays": table.arrays,
        "notes": table.notes,
        **_words(table),
        "prompts": prompts,
        "decile_prompts": 0 if own_votes.prompts is None else len(own_votes.prompts),
        "panel": 0 if panel is None else len(panel.prompts),
        "featured": _featured(panel),
        "turned": sorted({factor for one in turned for factor in one.factors}),
    }
    return AtlasData(first, makers, names)


def head_names(vectors: xr.DataArray) -> list[str]:
    """Name every head by block, layer in the block, and number in the layer.

    Parameters
    ----------
    vectors : xarray.DataArray
        With ``block``, ``block_layer`` and ``head`` along ``head_position``.

    Returns
    -------
    list of str

    Examples
    --------
    >>> from hrvlab.atlas import head_names
    >>> head_names(hrv)[0], head_names(hrv)[-1]
    ('down.0.0', 'up.8.7')
    """
    parts = (vectors[name].values for name in ("block", "block_layer", "head"))
    return [f"{block}.{layer}.{head}" for block, layer, head in zip(*parts, strict=True)]


def _check_heads(vectors: xr.DataArray, **others: xr.Dataset | None) -> None:
    """Check that datasets are of the same heads as the vectors."""
    count = vectors.sizes["head_position"]
    for name, other in others.items():
        if other is not None and other.sizes.get("head_position") != count:
            raise ParameterError(
                f"the vectors are of {count} heads, the {name} of "
                f"{other.sizes.get('head_position', 0)}; give those of one model"
            )


def _layers(vectors: xr.DataArray, order: Sequence[int]) -> dict[str, list[Any]]:
    """Describe the layers, in the order in which their heads are listed."""
    layer = vectors["layer"].values
    firsts = [int(np.flatnonzero(layer == number)[0]) for number in order]
    grids = vectors["grid"].values if "grid" in vectors.coords else np.zeros(len(layer), int)
    return {
        "block": [str(vectors["block"].values[at]) for at in firsts],
        "block_layer": [int(vectors["block_layer"].values[at]) for at in firsts],
        "heads": [int((layer == number).sum()) for number in order],
        "grid": [int(grids[at]) for at in firsts],
    }


def _trust(vectors: xr.DataArray) -> dict[str, list[float | None]]:
    """Return how many votes each vector rests on, and how well two halves agree."""
    known: dict[str, list[float | None]] = {}
    for name, coordinate in (("votes", "votes"), ("agreement", "split_half")):
        if coordinate in vectors.coords:
            values = vectors[coordinate].values.astype(float)
            known[name] = [float(value) if np.isfinite(value) else None for value in values]
    return known


def _prompts_and_votes(
    votes: xr.Dataset | None, panel: Panel | None, vectors: xr.DataArray
) -> tuple[list[dict[str, Any]], Votes]:
    """List the prompts of the atlas, with what their votes say of each head."""
    texts: Sequence[str] = [] if panel is None else panel.prompts
    seeds: Sequence[int | None] = [] if panel is None else panel.seeds
    if votes is None:
        return _listed(texts, seeds), Votes()
    own = votes.sel(concept=vectors["concept"].values)
    held = holders(own)
    steps = None
    if "timestep" in held:
        steps = relevance_by_timestep(own).transpose("timestep", "concept", ...).values
    if "prompt" not in held or "prompt_text" not in own.coords:
        return _listed(texts, seeds), Votes(steps)
    known = [str(text) for text in own["prompt_text"].values]
    if not texts:
        rng = np.random.Generator(np.random.Philox(key=0))
        drawn = np.sort(rng.permutation(len(known))[:LISTED])
        texts, seeds = [known[row] for row in drawn], [None] * len(drawn)
    rows = {text: row for row, text in enumerate(known)}
    voted = [number for number, text in enumerate(texts) if text in rows]
    if len(voted) < 2:
        return _listed(texts, seeds), Votes(steps)
    counted = counts_by_prompt(own).isel(prompt=[rows[texts[number]] for number in voted])
    counts = counted.values.astype(np.float64)
    totals = counts.sum(-1, keepdims=True)
    shares = np.divide(counts, totals, out=np.zeros_like(counts), where=totals > 0)
    return _listed(texts, seeds), Votes(steps, shares, np.array(voted))


def _listed(texts: Sequence[str], seeds: Sequence[int | None]) -> list[dict[str, Any]]:
    """List prompts."""
    return [{"text": text, "seed": seed} for text, seed in zip(texts, seeds, strict=True)]


def _words(table: Table) -> dict[str, Any]:
    """Return the words that heads attend to most, if they were measured."""
    if table.vocabulary is None:
        return {}
    return {
        "vocabulary": table.vocabulary,
        "word_index": table.word_index,
        "word_share": table.word_share,
    }


def _featured(panel: Panel | None) -> list[dict[str, Any]]:
    """Describe the featured prompts."""
    if panel is None:
        return []
    return [
        {"prompt": one.prompt, "words": one.words, "steps": one.steps, "calls": one.calls}
        for one in panel.featured
    ]
