"""Open a pool that was recorded, where neither the model nor diffusers is installed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hrvlab.errors import ModelError, StoreError
from hrvlab.paths import user_path
from hrvlab.reservoir.pool import Pool
from hrvlab.storage.datasets import read_dataset
from hrvlab.storage.shards import SHARDS, Shards
from hrvlab.storage.units import DATA

if TYPE_CHECKING:
    from pathlib import Path

    from diffusers import DiffusionPipeline


def open_pool(folder: str | Path, pipe: DiffusionPipeline | None = None) -> Pool:
    """Open a pool that `hrvlab.record_queries` kept; neither the model nor diffusers is needed.

    Parameters
    ----------
    folder : str or Path
        Its folder, or a store that holds a single pool.
    pipe : diffusers.DiffusionPipeline, optional
        The model that it was recorded from, to encode words beyond the vocabulary.

    Returns
    -------
    Pool

    Raises
    ------
    StoreError
        If there is no finished pool, several, or it is damaged.
    ModelError
        If the pool is another model's.

    Examples
    --------
    >>> _ = hl.record_queries(
    ...     pipe, ["a red car"], store=store / "pool", num_inference_steps=4, progress=False,
    ...     vocabulary=["red", "blue", "cat", "frog"],
    ... )
    >>> pool = hl.open_pool(store / "pool")
    >>> pool.data.sizes["prompt"]
    1
    """
    path = user_path(folder)
    found = [path] if (path / DATA).exists() else [one.parent for one in path.glob(f"*/{DATA}")]
    pools = [one for one in found if (one / SHARDS).exists()]
    if len(pools) != 1:
        several = ", ".join(sorted(one.name for one in pools))
        raise StoreError(
            f"{path} holds {len(pools)} pools: {several}; give the folder of one"
            if pools
            else f"there is no finished pool of queries at {path}; give a folder that "
            "record_queries or hrvlab record wrote to the end"
        )
    data = read_dataset(pools[0] / DATA)
    if (kind := data.attrs["schema"]) != "reservoir":
        raise StoreError(f"{pools[0]} holds a dataset of {kind}, not a pool of queries")
    Shards(pools[0])
    if pipe is not None:
        # Imported here because a pool is opened where diffusers is not installed.
        from hrvlab.models.load import fingerprint

        if (model := fingerprint(pipe)) != data.attrs["model_fingerprint"]:
            raise ModelError(
                f"the pool was recorded from model {data.attrs['model_fingerprint']}, but this "
                f"model is {model}; give that one"
            )
    return Pool(data, pools[0], pipe)
