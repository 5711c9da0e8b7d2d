"""The differences between model families: pipelines, samples, and how a word is encoded."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from hrvlab.errors import ModelError
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
        Names of the pipeline's tokenizers and of their text encoders.
    penultimate : bool
        Whether the denoiser is conditioned on the text encoders' penultimate hidden states, instead
        of the last ones after the final norm.
    """

    name: str
    pipelines: tuple[str, ...]
    encoders: tuple[tuple[str, str], ...]
    penultimate: bool

    def text_encoders(self, pipe: DiffusionPipeline) -> list[nn.Module]:
        """Return the text encoders, in the order in which their states are joined."""
        return [getattr(pipe, name) for _, name in self.encoders]

    def conditional_samples(self, pipe: DiffusionPipeline, batch: int) -> slice:
        """Return the rows of a denoiser batch that are conditioned on the prompt.

        With guidance these are the second half.
        """
        return slice(batch // 2, batch) if pipe.do_classifier_free_guidance else slice(0, batch)

    @torch.no_grad()
    def encode_words(self, pipe: DiffusionPipeline, words: list[str]) -> WordEncodings:
        """Encode each word alone, in the same way as the prompts of the denoiser.

        Follows Appendix A of arXiv 2412.02237. States of several text encoders are joined; tokens
        are counted by the first tokenizer.

        Raises
        ------
        ModelError
            If a tokenizer does not begin a text with a start token.
        """
        encoded = [self._encode(pipe, *names, words) for names in self.encoders]
        rows = torch.cat([states for states, _ in encoded], dim=-1)
        content = [row[1 : 1 + n] for row, n in zip(rows, encoded[0][1], strict=True)]
        return WordEncodings(start=rows[0, 0], content=content)

    def _encode(
        self, pipe: DiffusionPipeline, tokenizer: str, encoder: str, words: list[str]
    ) -> tuple[Tensor, list[int]]:
        """Return one encoder's states of every word, and the number of tokens of each word."""
        tokenize = getattr(pipe, tokenizer)
        tokens = tokenize(words, padding="max_length", truncation=True, return_tensors="pt")
        if not (tokens.input_ids[:, 0] == tokenize.bos_token_id).all():
            raise ModelError(
                "this tokenizer does not begin a text with a start token, which votes need; "
                "use a model with CLIP text encoders"
            )
        # An offloaded encoder does not run on the device that its weights lie on.
        ids = tokens.input_ids.to(pipe._execution_device)
        output = getattr(pipe, encoder)(ids, output_hidden_states=self.penultimate)
        states = output.hidden_states[-2] if self.penultimate else output.last_hidden_state
        return states, (tokens.attention_mask.sum(1) - 2).tolist()


STABLE_DIFFUSION = Family(
    "Stable Diffusion 1.x and 2.x",
    (
        "StableDiffusionPipeline",
        "StableDiffusionImg2ImgPipeline",
        "StableDiffusionInpaintPipeline",
    ),
    encoders=(("tokenizer", "text_encoder"),),
    penultimate=False,
)
STABLE_DIFFUSION_XL = Family(
    "Stable Diffusion XL",
    (
        "StableDiffusionXLPipeline",
        "StableDiffusionXLImg2ImgPipeline",
        "StableDiffusionXLInpaintPipeline",
    ),
    encoders=(("tokenizer", "text_encoder"), ("tokenizer_2", "text_encoder_2")),
    penultimate=True,
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
