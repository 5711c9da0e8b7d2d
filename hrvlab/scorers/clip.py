"""CLIP scores: how well any image matches any text."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from transformers import CLIPModel, CLIPProcessor

from hrvlab.errors import ModelError, ParameterError
from hrvlab.models.devices import choose_device
from hrvlab.models.hub import explain_failure
from hrvlab.models.load import weights_digest
from hrvlab.paths import MINIATURE, data_path, user_path
from hrvlab.scorers.base import check_counts

if TYPE_CHECKING:
    from hrvlab.typing import Images

# Images that go through CLIP together.
CHUNK = 64


@dataclass(frozen=True)
class ClipScore:
    """The cosine between CLIP's embeddings of an image and of a text.

    Parameters
    ----------
    name : str
    model : transformers.CLIPModel
    processor : transformers.CLIPProcessor
    template : str
        The sentence that a text is put into; ``"{}"`` is the text alone, as published.
    threshold : None
        Cosines only compare images: no size of them means that an image shows a text.
    """

    name: str
    model: CLIPModel
    processor: CLIPProcessor
    template: str
    threshold: float | None = None

    def check(self, texts: Sequence[str]) -> None:
        """Accept all texts."""

    def __call__(self, images: Images, texts: Sequence[str]) -> NDArray[np.float32]:
        """Rate images against texts.

        Parameters
        ----------
        images : ndarray of uint8, shape (image, y, x, channel)
        texts : sequence of str
            One for each image.

        Returns
        -------
        ndarray of float32, shape (image,)
            In [−1, 1].

        Raises
        ------
        ParameterError
            If there are not as many texts as images, or a score is not finite.
        """
        check_counts(images, texts)
        chunks = [
            self._cosines(images[start : start + CHUNK], texts[start : start + CHUNK])
            for start in range(0, len(texts), CHUNK)
        ]
        cosines = np.concatenate(chunks)
        if not np.isfinite(cosines).all():
            raise ParameterError("some of CLIP's scores are not finite; use float32 weights")
        return cosines

    def _cosines(self, images: Images, texts: Sequence[str]) -> NDArray[np.float32]:
        inputs = self.processor(
            text=[self.template.format(text) for text in texts],
            images=list(images),
            return_tensors="pt",
            padding=True,
            truncation=True,
        ).to(self.model.device)
        with torch.no_grad():
            output = self.model(**inputs)
        return (output.image_embeds * output.text_embeds).sum(dim=1).float().cpu().numpy()


def clip_score(
    model: str | Path = MINIATURE,
    *,
    template: str = "{}",
    device: str | torch.device = "cpu",
) -> ClipScore:
    """Load a CLIP that scores images against texts.

    Parameters
    ----------
    model : str or Path
        ``"miniature"`` (shipped), a folder, or a hub id such as
        ``"laion/CLIP-ViT-H-14-laion2B-s32B-b79K"``, which was used for the published scores.
    template : str
        The sentence that a text is put into, with one ``{}`` for the text.
    device : str or torch.device

    Returns
    -------
    ClipScore
        Takes images, uint8 of shape (image, y, x, channel), and as many texts; returns cosines.

    Raises
    ------
    ModelError
        If there is no such model, or it has no safetensors weights.
    ParameterError
        If the template does not hold one ``{}``.

    Examples
    --------
    >>> score = hl.clip_score()
    >>> images = hl.generate(pipe, "a red car", num_inference_steps=2, progress=False)
    >>> score(images, ["a red car"]).shape
    (1,)
    """
    if template.count("{}") != 1:
        raise ParameterError(f"the template {template!r} must hold one {{}} for the text")
    folder = data_path(MINIATURE, "clip") if str(model) == MINIATURE else user_path(model)
    path = folder if folder.is_dir() else model  # a hub id
    place = choose_device(device)
    try:
        clip = CLIPModel.from_pretrained(path, use_safetensors=True).eval().to(place)
        processor = CLIPProcessor.from_pretrained(path)
    except OSError as error:
        raise ModelError(f"cannot load CLIP: {explain_failure(str(model), error)}") from error
    name = f"CLIP {Path(model).name} {weights_digest(clip)}, {template!r}"
    return ClipScore(name, clip, processor, template)
