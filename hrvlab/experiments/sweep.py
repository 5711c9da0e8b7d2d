"""Many settings of the heads, several in one batch: pictures and their scores, resumable."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from diffusers import DiffusionPipeline
from tqdm.auto import tqdm

from hrvlab.attention import Rescale
from hrvlab.attention.edits import CONTENT
from hrvlab.errors import ParameterError
from hrvlab.experiments.pictures import keep_images
from hrvlab.experiments.scoring import Score, check_texts, rate
from hrvlab.generation import Batch, as_uint8, plan_batches, refuse, run_batch
from hrvlab.ledger import Ledger, Unit, complete
from hrvlab.models.load import fingerprint, scheduler_settings, weights_digest
from hrvlab.typing import HeadFactors

# Part of every plan: units computed by another version of this algorithm are not mixed in.
ALGORITHM = 2
DIMS = ("setting", "prompt", "seed")
SCORED = "scored"


def open_ledger(pipe: DiffusionPipeline, store: str | Path, parameters: dict[str, Any]) -> Ledger:
    """Open the folder of a plan: a model, its scheduler, and all that determines the pictures."""
    plan = {
        "algorithm": ALGORITHM,
        "model": fingerprint(pipe),
        "decoder": weights_digest(pipe.vae),
        "scheduler": scheduler_settings(pipe),
        "dtype": str(pipe.unet.dtype),
    }
    return Ledger(Path(store), {**plan, **parameters})


def check(
    pipe: DiffusionPipeline,
    settings: HeadFactors,
    prompts: Sequence[str],
    texts: Sequence[str],
    score: Score | Mapping[str, Score],
    seeds: Sequence[int],
    tokens: str | Sequence[str],
    window: tuple[int, int | None],
    batch_size: int,
    call: Mapping[str, Any],
) -> None:
    """Refuse what `sweep` cannot do, before anything is written or generated.

    Raises
    ------
    ParameterError, TokenError
        If there is nothing to draw, not a text that the score knows for every prompt, a factor is
        not finite, or a word is not in a prompt.
    """
    if len(texts) != len(prompts):
        raise ParameterError(f"{len(prompts)} prompts need as many texts, got {len(texts)}")
    check_texts(score, texts)
    plan_batches(prompts, seeds, batch_size)
    own = {"num_images_per_prompt", "output_type", "latents"}
    refuse(call, own, "a sweep draws one picture a seed and setting")
    Rescale(settings, _words(tokens, texts), window).columns(pipe.tokenizer, prompts)


def sweep(
    pipe: DiffusionPipeline,
    settings: HeadFactors,
    prompts: Sequence[str],
    *,
    texts: Sequence[str],
    score: Score | Mapping[str, Score],
    seeds: Sequence[int] = (0,),
    tokens: str | Sequence[str] = CONTENT,
    window: tuple[int, int | None] = (0, None),
    batch_size: int = 16,
    ledger: Ledger | None = None,
    name: str = "sweep",
    progress: bool = True,
    **call: Any,
) -> xr.Dataset:
    """Draw every prompt with every seed under every setting of the heads, and score the pictures.

    Parameters
    ----------
    pipe : diffusers.DiffusionPipeline
    settings : ndarray of float, shape (setting, head_position)
        What each head's attention to the tokens is multiplied with.
    prompts : sequence of str
    texts : sequence of str
        For each prompt, what its pictures are scored against.
    score : Score or mapping of str to Score
        Such as `clip_score` gives; or several, by the names of their witnesses.
    seeds : sequence of int
        Of the initial noise.
    tokens : str or sequence of str
        ``"content"``: every word of the prompt; ``"scored"``: only the word that its pictures are
        scored against; or a word, or several.
    window : tuple of int or None
        First UNet call and past-the-last UNet call in which the settings act.
    batch_size : int
    ledger : Ledger, optional
        Keeps finished batches and the pictures.
    name : str
        Of the progress bar.
    progress : bool
    **call
        Keywords of the pipeline's own call.

    Returns
    -------
    xarray.Dataset
        ``score (setting, prompt, seed)`` float32, for several scores with the leading dim
        ``witness``; with a ledger also ``image``, file names.
    """
    shape = (len(prompts), len(seeds), len(settings))
    # All settings of a prompt and seed lie side by side: a sweep cut short has whole rows.
    trials = list(np.ndindex(shape))
    names = [f"{prompt:03d}-{seed:03d}-{setting:03d}.png" for prompt, seed, setting in trials]
    witnesses = {"witness": list(score)} if isinstance(score, Mapping) else {}
    scores = np.empty((*map(len, witnesses.values()), len(trials)), np.float32)
    starts = range(0, len(trials), batch_size)

    def draw(missing: list[int]) -> Iterator[tuple[int, Unit]]:
        for number in missing:
            chunk = slice(starts[number], starts[number] + batch_size)
            drawn, drawn_seeds, set_to = (list(part) for part in zip(*trials[chunk], strict=True))
            batch = Batch(
                tuple(prompts[prompt] for prompt in drawn),
                tuple(drawn),
                tuple(seeds[seed] for seed in drawn_seeds),
            )
            of_drawn = [texts[prompt] for prompt in drawn]
            edit = Rescale(settings[set_to], _words(tokens, of_drawn), window)
            made, _ = run_batch(pipe, batch, edit, output_type="np", **call)
            images = as_uint8(made)
            if ledger:
                keep_images(ledger.folder, names[chunk], images)
            yield number, {"score": rate(score, images, of_drawn)}

    units = complete(ledger, len(starts), draw)
    for number, unit in tqdm(units, name, len(starts), disable=not progress):
        scores[..., starts[number] : starts[number] + batch_size] = unit["score"]
    dims = ("prompt", "seed", "setting")
    variables = {"score": ((*witnesses, *dims), scores.reshape(*scores.shape[:-1], *shape))}
    if ledger:
        variables["image"] = dims, np.array(names).reshape(shape)
    return xr.Dataset(
        variables,
        {
            **witnesses,
            "prompt_text": ("prompt", list(prompts)),
            "text": ("prompt", list(texts)),
            "seed": list(seeds),
        },
    ).transpose(*witnesses, *DIMS)


def _words(
    tokens: str | Sequence[str], texts: Sequence[str]
) -> str | Sequence[str] | Sequence[Sequence[str]]:
    """Say which words of prompts with these texts are edited."""
    return [[text] for text in texts] if tokens == SCORED else tokens
