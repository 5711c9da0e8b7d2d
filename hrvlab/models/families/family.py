"""What hrvlab must know of a family of models: the protocol that every family follows."""

from __future__ import annotations

import inspect
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

import torch
from diffusers.utils.torch_utils import unwrap_module

from hrvlab.errors import ModelError, ParameterError
from hrvlab.models.adapters import adapters_kept
from hrvlab.models.columns import token_spans
from hrvlab.models.families.inputs import CallInputs, all_given, channels_of

if TYPE_CHECKING:
    from diffusers import DiffusionPipeline, ModelMixin
    from torch import Tensor, nn

    from hrvlab.models.columns import Side, Span, Token, TokenKind
    from hrvlab.models.families.encodings import WordEncodings
    from hrvlab.models.layers import Layer

Method = Literal["attention injection", "attention excitation", "swapping text states", "votes"]
Branch = Literal["prompt", "negative", "perturbed"]


@dataclass(frozen=True)
class Family(ABC):
    """A family of models whose heads are read in the same way.

    Its methods say where attention is read (`layers`), what a call of the denoiser is given
    (`inputs`), what the rows of a pipeline's batch are conditioned on (`branches`), and how texts
    become columns (`read`, `token_ids`, `token_table`, `arriving`, `encode`, `encode_words`).

    Parameters
    ----------
    name : str
    pipelines : tuple of str
        Names of their diffusers classes; importing the classes themselves would make transformers
        look for torchvision, which is not needed.
    encoders : tuple of (str, str)
        Names of the pipeline's tokenizers and of their text encoders, whose states are joined.
    denoisers : tuple of str
        Names of their classes.
    component : str
        The pipeline's name of its denoiser.
    sample : str
        The denoiser's name of its latents.
    marks_end : bool
        Whether an end token follows every prompt.
    by_mode : bool
        Whether attention is read where PyTorch computes it, not at its projections.
    two_calls : bool
        Whether a negative prompt has calls of its own, so that contents tell the prompts' calls.
    transforms : bool
        Whether its pipelines change the text states on their way to the denoiser, so that texts
        are encoded once more to be recognized.
    padding : {"left", "right"}
        On which side a prompt is padded to the longest of a batch, where there is no fixed length.
    optional : tuple of str
        Text encoders that a pipeline may lack.
    word_encoders : mapping of str to str
        Where words are carried beside the prompt: the text encoders whose columns can stand for
        them, the first by default, each with the kind of the empty prompt's token that takes part
        in votes beside them.
    refused : mapping of Method to str
        Methods that are not defined for the family, each with the reason.
    keywords_refused : mapping of str to str
        Keywords of the pipelines' calls with which heads could not be read, each with the reason.
    words, sink_name, tested : str
        For the book: how words become columns, what takes part in votes beside them, and how the
        family was tested.
    """

    name: str
    pipelines: tuple[str, ...]
    encoders: tuple[tuple[str, str], ...]
    denoisers: tuple[str, ...]
    component: str = "unet"
    sample: str = "sample"
    marks_end: bool = True
    by_mode: bool = False
    two_calls: bool = False
    transforms: bool = False
    padding: Side = "right"
    optional: tuple[str, ...] = ()
    word_encoders: Mapping[str, TokenKind] = field(default_factory=dict)
    refused: Mapping[Method, str] = field(default_factory=dict)
    keywords_refused: Mapping[str, str] = field(default_factory=dict)
    words: str = ""
    sink_name: str = ""
    tested: str = ""

    def denoiser(self, pipe: DiffusionPipeline) -> ModelMixin:
        """Return a pipeline's denoiser."""
        return unwrap_module(getattr(pipe, self.component))

    @abstractmethod
    def layers(self, denoiser: nn.Module) -> list[Layer]:
        """List the layers of a denoiser in forward order; raise a ModelError if it has none."""

    def check_method(self, method: Method) -> None:
        """Raise an error if a method is not defined for the family.

        Raises
        ------
        ModelError
            With the reason.
        """
        if method in self.refused:
            raise ModelError(f"{self.name} does not support {method}: {self.refused[method]}")

    def check_keywords(self, call: Mapping[str, Any]) -> None:
        """Check that heads can be read with keywords of a pipeline's call.

        Raises
        ------
        ParameterError
            With the reason, and what to leave out.
        """
        for name, reason in self.keywords_refused.items():
            if call.get(name) is not None and call[name] is not False:
                raise ParameterError(f"{reason}; leave out {name}")

    def inputs(
        self, denoiser: nn.Module, args: Sequence[Any], kwargs: Mapping[str, Any]
    ) -> CallInputs:
        """Return what a denoiser is given in a call, by position or by name.

        Raises
        ------
        ModelError
            If something is given that would be misread.
        """
        given = all_given(denoiser, args, kwargs)
        states, sample = given["encoder_hidden_states"], given[self.sample]
        mask = given.get("encoder_attention_mask")
        bias = None if mask is None else self.key_bias(mask, sample)
        return CallInputs(sample, given["timestep"], states, bias)

    def latent_size(self, inputs: CallInputs) -> tuple[int, int]:
        """Return height and width of the latents of a call."""
        height, width = inputs.sample.shape[-2:]
        return height, width

    def key_bias(self, mask: Tensor, sample: Tensor) -> Tensor:
        """Return what a mask adds to the scores of every column, shape (row, token).

        Raises
        ------
        ModelError
            If the family's pipelines give no mask.
        """
        raise ModelError("an encoder_attention_mask is not supported; leave it out")

    def branches(self, pipe: DiffusionPipeline, *, guided: bool) -> tuple[Branch, ...]:
        """Return what a pipeline's own call lays out in a batch, in order, in equal parts.

        It is asked only while a call of diffusers' own runs, and contents check it if the prompts
        are known; in all other loops contents decide.

        Parameters
        ----------
        pipe : diffusers.DiffusionPipeline
            While it runs.
        guided : bool
            Whether it guides by a negative prompt.

        Returns
        -------
        tuple of {"prompt", "negative", "perturbed"}
            ``"prompt"`` once, ``"negative"`` for rows without the prompt, and ``"perturbed"``,
            after it, for those that have the prompt again, whose self-attention is perturbed.
        """
        usual: tuple[Branch, ...] = ("negative", "prompt") if guided else ("prompt",)
        perturbed = getattr(pipe, "do_perturbed_attention_guidance", False)
        return (*usual, "perturbed") if perturbed else usual

    def scheduler_timestep(self, pipe: DiffusionPipeline, given: float) -> float:
        """Return the scheduler's timestep from the one that the denoiser is given."""
        return given

    def tokenizer(self, pipe: DiffusionPipeline) -> Any:
        """Return the tokenizer of the first text encoder."""
        return getattr(pipe, self.encoders[0][0])

    def text_encoders(self, pipe: DiffusionPipeline) -> list[nn.Module]:
        """Return the text encoders, in the order in which their states are joined."""
        encoders = (getattr(pipe, name) for _, name in self.encoders)
        return [unwrap_module(encoder) for encoder in encoders if encoder is not None]

    @abstractmethod
    def encoding(self, pipe: DiffusionPipeline, call: Mapping[str, Any]) -> dict[str, Any]:
        """Return the keywords of a pipeline's call on which the encoding of its prompts depends.

        They have the names that its ``encode_prompt`` gives them, and are passed to the methods
        below as ``how``.
        """

    @abstractmethod
    def read(self, pipe: DiffusionPipeline, text: str, **how: Any) -> str:
        """Return a text as the pipeline gives it to its first tokenizer, without instructions."""

    def spans(self, pipe: DiffusionPipeline, read: str) -> list[Span]:
        """Return what each token of a text from `read` covers, also beyond those that are taken."""
        return token_spans(self.tokenizer(pipe), read)

    def beyond(self, pipe: DiffusionPipeline, read: str, table: Sequence[Token]) -> list[Span]:
        """Return what the tokens cover that the model does not take of a text.

        Parameters
        ----------
        pipe : diffusers.DiffusionPipeline
        read : str
            From `read`.
        table : sequence of Token
            From `token_table`.
        """
        return self.spans(pipe, read)[sum(token.kind == "content" for token in table) :]

    def part(self, states: Tensor, of_encoders: Sequence[Tensor], number: int) -> Tensor:
        """Return the part of joined text states that one of the encoders contributed.

        Parameters
        ----------
        states : Tensor, shape (row, token, dim)
        of_encoders : sequence of Tensor, each of shape (text, token, dim)
            States that were joined.
        number : int
        """
        return channels_of(states, of_encoders, number)

    @abstractmethod
    def token_ids(
        self, pipe: DiffusionPipeline, texts: Sequence[str], **how: Any
    ) -> list[tuple[list[int], ...]]:
        """Return the tokens of every text as each of the text encoders reads them."""

    @abstractmethod
    def token_table(self, pipe: DiffusionPipeline, prompt: str, **how: Any) -> list[Token]:
        """Tabulate the token columns that the denoiser is given for a prompt."""

    def arriving(self, states: Tensor, columns: int) -> Tensor:
        """Return the part of an encoder's states that the denoiser is given.

        Parameters
        ----------
        states : Tensor, shape (text, token, dim)
        columns : int
            How many the denoiser is given.
        """
        return states

    @torch.no_grad()
    def encode(self, pipe: DiffusionPipeline, texts: Sequence[str], **how: Any) -> Tensor:
        """Encode texts by the pipeline itself, as it encodes the prompts of the denoiser.

        Parameters
        ----------
        pipe : diffusers.DiffusionPipeline
        texts : sequence of str
        **how
            From `encoding`.

        Returns
        -------
        Tensor, shape (text, token, dim)
            The states that the denoiser is given.
        """
        # InstructPix2Pix has the function of earlier versions only, which returns the states alone.
        encode = getattr(pipe, "encode_prompt", None) or pipe._encode_prompt
        given = {"device": pipe._execution_device, "num_images_per_prompt": 1}
        given["do_classifier_free_guidance"] = False
        there = inspect.signature(encode).parameters
        given = {name: value for name, value in given.items() if name in there} | how
        with adapters_kept(pipe):
            encoded = encode(prompt=list(texts), **given)
        states: Tensor = encoded if isinstance(encoded, torch.Tensor) else encoded[0]
        return states

    @abstractmethod
    def encode_words(
        self, pipe: DiffusionPipeline, words: Sequence[str], **how: Any
    ) -> WordEncodings:
        """Encode each word alone, in the same way as the prompts of the denoiser.

        Follows Appendix A of arXiv 2412.02237.

        Raises
        ------
        ModelError
            If the pipeline's tokenizer has no token that can be the sink.
        """
