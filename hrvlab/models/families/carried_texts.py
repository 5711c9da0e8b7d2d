"""Families with joint attention in which concept words are carried beside the prompt."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from hrvlab.errors import ParameterError
from hrvlab.models.families.alone import encode_alone
from hrvlab.models.families.carrier import rows_of
from hrvlab.models.families.encodings import WordEncodings
from hrvlab.models.families.joint_texts import JointTexts

if TYPE_CHECKING:
    from diffusers import DiffusionPipeline
    from torch import Tensor

    from hrvlab.models.families.carrier import Passengers
    from hrvlab.models.layers import Layer


@dataclass(frozen=True)
class CarriedTexts(JointTexts):
    """A family in which the keys of words change with the image, so that words are carried.

    See `hrvlab.models.families.carrier.Carrier`.
    """

    def word_encoder(self, pipe: DiffusionPipeline) -> str:
        """Return the text encoder whose columns stand for words in votes by default."""
        return next(iter(self.word_encoders))

    def encode_words(
        self, pipe: DiffusionPipeline, words: Sequence[str], *, encoder: str = "", **how: Any
    ) -> WordEncodings:
        """Encode each word alone, in as many columns as the prompts of the denoiser.

        Parameters
        ----------
        pipe : diffusers.DiffusionPipeline
        words : sequence of str
        encoder : str
            The text encoder whose columns are taken; "": the family's default.
        **how
            From `encoding`.

        Raises
        ------
        ModelError
            If the tokenizer reads the empty prompt without the sink's token.
        """
        chosen = encoder or self.word_encoder(pipe)
        sink = self.word_encoders[chosen]
        alone = encode_alone(self, pipe, words, sink, encoder=chosen, **how)
        through: Any = self.denoiser(pipe)
        return WordEncodings(**alone, through=(through.context_embedder,), carrier=self)

    def block(self, layer: Layer) -> str:
        """Return the path of the block that holds a layer's attention."""
        return layer.module.removesuffix(".attn")

    def enter(self, given: Mapping[str, Any], words: Passengers) -> dict[str, Any]:
        """Return what a block is given if words stand in place of its text.

        Raises
        ------
        ParameterError
            If a mask of one's own is given, in which words have no columns.
        """
        if (given.get("joint_attention_kwargs") or {}).get("attention_mask") is not None:
            raise ParameterError(
                "votes take no attention_mask in joint_attention_kwargs, in which concept words "
                "have no columns; leave it out"
            )
        image = rows_of(given["hidden_states"], words.rows)
        own = {
            "hidden_states": image[:, :0],
            "encoder_hidden_states": words.states.to(image.dtype),
            "temb": rows_of(given["temb"], words.rows),
        }
        return {**given, **own}

    def leave(self, output: Any, words: Passengers) -> Tensor | None:
        """Return the words' states after a block, which precede those of the image."""
        states: Tensor | None = output[0]
        return states
