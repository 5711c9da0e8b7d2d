"""LongCat-Image: FLUX.1's layers with the states of Qwen 2.5-VL, without those of its template."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from hrvlab.errors import ParameterError
from hrvlab.models.families.packed import PackedTemplate
from hrvlab.models.families.without_votes import REFUSED

if TYPE_CHECKING:
    from diffusers import DiffusionPipeline

    from hrvlab.models.families.template_texts import Encoded


@dataclass(frozen=True)
class LongCatImage(PackedTemplate):
    """A family whose tokenizer reads quoted text character by character."""

    def around(self, pipe: DiffusionPipeline, how: Mapping[str, Any]) -> tuple[str, str]:
        """Return nothing: the denoiser is given no column of the template."""
        return "", ""

    def columns(self, pipe: DiffusionPipeline, how: Mapping[str, Any]) -> int:
        """Return how many columns the denoiser is given."""
        return int(pipe.tokenizer_max_length)

    def check_keywords(self, call: Mapping[str, Any]) -> None:
        """Check that the pipeline reads the prompts as they are.

        Raises
        ------
        ParameterError
            If it would rewrite them, as it does unless told otherwise.
        """
        super().check_keywords(call)
        if call.get("enable_prompt_rewrite", True):
            raise ParameterError(
                "LongCat-Image would generate another text from every prompt, whose words are not "
                "known; give enable_prompt_rewrite=False"
            )

    def _read_tokens(
        self, pipe: DiffusionPipeline, read: str, how: Mapping[str, Any], *, whole: bool = False
    ) -> Encoded:
        """Return tokens part by part, as the pipeline reads them."""
        from diffusers.pipelines.longcat_image.pipeline_longcat_image import split_quotation

        parts: list[str] = []
        for text, quoted in split_quotation(read):
            parts += text if quoted else [text]
        ids: list[int] = []
        spans: list[tuple[int, int]] = []
        begin = 0
        for part in parts:
            own = pipe.tokenizer(part, add_special_tokens=False, return_offsets_mapping=True)
            ids += own["input_ids"]
            spans += [(begin + first, begin + last) for first, last in own["offset_mapping"]]
            begin += len(part)
        if whole:
            return {"input_ids": ids, "offset_mapping": spans}
        length = self.columns(pipe, how)
        missing = max(0, length - len(ids))
        return {
            "input_ids": ids[:length] + [pipe.tokenizer.pad_token_id] * missing,
            "offset_mapping": spans[:length] + [(0, 0)] * missing,
            "attention_mask": [1] * (length - missing) + [0] * missing,
        }


LONGCAT_IMAGE = LongCatImage(
    "LongCat-Image",
    ("LongCatImagePipeline",),
    encoders=(("tokenizer", "text_encoder"),),
    denoisers=("LongCatImageTransformer2DModel",),
    component="transformer",
    sample="hidden_states",
    marks_end=False,
    by_mode=True,
    two_calls=True,
    transforms=True,
    refused=REFUSED,
    words="Qwen's tokens of the prompt, 512, quoted text by characters; padding is read",
    tested="random pipelines, against explicit maps",
)
