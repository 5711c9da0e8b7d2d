"""The differences between model families: pipelines, samples, and how a word is encoded."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from diffusers.utils.torch_utils import unwrap_module

from hrvlab.errors import ModelError
from hrvlab.models.adapters import adapters_kept
from hrvlab.models.tokens import text_as_read, token_table
from hrvlab.models.unsupported import obstacles

if TYPE_CHECKING:
    from diffusers import DiffusionPipeline
    from torch import Tensor, nn


@dataclass(frozen=True)
class WordEncodings:
    """Text states of words that were encoded one by one.

    Parameters
    ----------
    start : Tensor, shape (dim,)
        State of the start token; the encoder is causal, so it is the same for every word.
    content : list of Tensor, each of shape (tokens, dim)
        States of each word's own tokens, without start, end and padding.
    """

    start: Tensor
    content: list[Tensor]


@dataclass(frozen=True)
class Family:
    """A family of models whose heads are read in the same way.

    Parameters
    ----------
    name : str
    pipelines : tuple of str
        Names of their diffusers classes; importing the classes themselves would make transformers
        look for torchvision, which is not needed.
    encoders : tuple of (str, str)
        Names of the pipeline's tokenizers and of their text encoders, whose states are joined.
    """

    name: str
    pipelines: tuple[str, ...]
    encoders: tuple[tuple[str, str], ...]

    def text_encoders(self, pipe: DiffusionPipeline) -> list[nn.Module]:
        """Return the text encoders, in the order in which their states are joined."""
        return [unwrap_module(getattr(pipe, name)) for _, name in self.encoders]

    def token_ids(
        self, pipe: DiffusionPipeline, texts: Sequence[str]
    ) -> list[tuple[list[int], ...]]:
        """Return the tokens of every text as each of the text encoders reads them."""
        of_encoders = []
        for name, _ in self.encoders:
            tokenizer = getattr(pipe, name)
            read = [text_as_read(pipe, text, tokenizer) for text in texts]
            length = tokenizer.model_max_length
            encoded = tokenizer(read, padding="max_length", truncation=True, max_length=length)
            of_encoders.append(encoded["input_ids"])
        return list(zip(*of_encoders, strict=True))

    @torch.no_grad()
    def encode(self, pipe: DiffusionPipeline, texts: Sequence[str], **how: Any) -> Tensor:
        """Encode texts by the pipeline itself, as it encodes the prompts of the denoiser.

        Parameters
        ----------
        pipe : diffusers.DiffusionPipeline
        texts : sequence of str
        **how
            Keywords of its own ``encode_prompt``: ``clip_skip``, ``lora_scale``.

        Returns
        -------
        Tensor, shape (text, token, dim)
            The states that the denoiser's cross-attention acts on.
        """
        with adapters_kept(pipe):
            encoded = pipe.encode_prompt(
                prompt=list(texts),
                device=pipe._execution_device,
                num_images_per_prompt=1,
                do_classifier_free_guidance=False,
                **how,
            )
        states: Tensor = encoded[0]
        return states

    def encode_words(
        self, pipe: DiffusionPipeline, words: Sequence[str], **how: Any
    ) -> WordEncodings:
        """Encode each word alone, in the same way as the prompts of the denoiser.

        Follows Appendix A of arXiv 2412.02237. States of several text encoders are joined; tokens
        are counted by the first tokenizer.

        Parameters
        ----------
        pipe : diffusers.DiffusionPipeline
        words : sequence of str
        **how
            See `encode`.

        Raises
        ------
        ModelError
            If a tokenizer does not begin a text with a start token.
        """
        rows = self.encode(pipe, words, **how)
        content = []
        for row, word in zip(rows, words, strict=True):
            table = token_table(pipe, word)
            if table[0].number != pipe.tokenizer.bos_token_id:
                raise ModelError(
                    "this tokenizer does not begin a text with a start token, which votes need; "
                    "use a model with CLIP text encoders"
                )
            content.append(row[[n for n, token in enumerate(table) if token.kind == "content"]])
        return WordEncodings(start=rows[0, 0], content=content)


STABLE_DIFFUSION = Family(
    "Stable Diffusion 1.x and 2.x",
    (
        "StableDiffusionPipeline",
        "StableDiffusionImg2ImgPipeline",
        "StableDiffusionInpaintPipeline",
    ),
    encoders=(("tokenizer", "text_encoder"),),
)
STABLE_DIFFUSION_XL = Family(
    "Stable Diffusion XL",
    (
        "StableDiffusionXLPipeline",
        "StableDiffusionXLImg2ImgPipeline",
        "StableDiffusionXLInpaintPipeline",
    ),
    encoders=(("tokenizer", "text_encoder"), ("tokenizer_2", "text_encoder_2")),
)
FAMILIES = (STABLE_DIFFUSION, STABLE_DIFFUSION_XL)


def family_of(pipe: DiffusionPipeline) -> Family:
    """Return the family of a pipeline.

    Raises
    ------
    ModelError
        If hrvlab does not support it, with the reason.
    """
    family = find_family([cls.__name__ for cls in type(pipe).__mro__])
    if family is None:
        parts = {name: part for name, part in pipe.components.items() if part is not None}
        encoders = [type(part).__name__ for name, part in parts.items() if "text_encoder" in name]
        denoiser = parts.get("transformer", parts.get("unet"))
        raise ModelError(refusal(type(pipe).__name__, denoiser, encoders))
    if None in family.text_encoders(pipe):
        raise ModelError(
            f"this {type(pipe).__name__} lacks text_encoder, whose tokens label the attention "
            "columns; hrvlab supports the base model of SDXL, not its refiner"
        )
    return family


def find_family(classes: Sequence[str]) -> Family | None:
    """Return the family of a pipeline by the names of its class and parent classes, if any."""
    return next((family for family in FAMILIES if set(classes) & set(family.pipelines)), None)


def refusal(pipeline: str, denoiser: nn.Module | None, text_encoders: Sequence[str]) -> str:
    """Build the message on why a pipeline is not supported; see `hrvlab.models.unsupported`."""
    reasons = obstacles(denoiser, text_encoders) or [
        "it is unknown which samples of its batch are conditioned on the prompt"
    ]
    supported = "; ".join(f"{family.name} ({', '.join(family.pipelines)})" for family in FAMILIES)
    return f"{pipeline} is not supported: {'; '.join(reasons)}. hrvlab supports {supported}"
