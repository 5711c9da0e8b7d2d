"""What differs between model families: which pipelines, which samples, how a word is encoded."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from diffusers import DiffusionPipeline
from torch import Tensor

from hrvlab.errors import ModelError


@dataclass(frozen=True)
class WordEncodings:
    """Words encoded one by one.

    Parameters
    ----------
    start : Tensor, shape (dim,)
        State of the start token; the encoder is causal, so it is the same for every word.
    content : list of Tensor, each of shape (tokens, dim)
        States of each word's own tokens, without start, end and padding.
    """

    start: Tensor
    content: list[Tensor]


class StableDiffusion1:
    """Stable Diffusion 1.x: one CLIP text encoder, classifier-free guidance in one batch."""

    name = "Stable Diffusion 1.x"
    # By name: importing the classes makes transformers ask for torchvision, which nobody needs.
    pipelines = (
        "StableDiffusionPipeline",
        "StableDiffusionImg2ImgPipeline",
        "StableDiffusionInpaintPipeline",
    )

    @staticmethod
    def conditional_samples(pipe: DiffusionPipeline, batch: int) -> slice:
        """Say which rows of a UNet batch saw the prompt; with guidance the second half did."""
        return slice(batch // 2, batch) if pipe.do_classifier_free_guidance else slice(0, batch)

    @staticmethod
    @torch.no_grad()
    def encode_words(pipe: DiffusionPipeline, words: list[str]) -> WordEncodings:
        """Encode each word alone: last hidden state after the final norm (Appendix A).

        Raises
        ------
        ModelError
            If the tokenizer puts no start token before a text.
        """
        tokens = pipe.tokenizer(
            words, padding="max_length", truncation=True, return_tensors="pt"
        ).to(pipe.text_encoder.device)
        if not (tokens.input_ids[:, 0] == pipe.tokenizer.bos_token_id).all():
            raise ModelError(
                "this tokenizer writes no start token, which votes divide by; "
                "hrvlab reads CLIP text encoders"
            )
        states = pipe.text_encoder(tokens.input_ids).last_hidden_state
        lengths = tokens.attention_mask.sum(1) - 2
        content = [row[1 : 1 + int(n)] for row, n in zip(states, lengths, strict=True)]
        return WordEncodings(start=states[0, 0], content=content)


def family_of(pipe: DiffusionPipeline) -> type[StableDiffusion1]:
    """Find the family of a pipeline.

    Raises
    ------
    ModelError
        If hrvlab does not support it, with the reason.
    """
    if not {cls.__name__ for cls in type(pipe).__mro__} & set(StableDiffusion1.pipelines):
        raise ModelError(
            f"{type(pipe).__name__} is not supported; hrvlab reads {StableDiffusion1.name} "
            f"pipelines ({', '.join(StableDiffusion1.pipelines)})"
        )
    return StableDiffusion1
