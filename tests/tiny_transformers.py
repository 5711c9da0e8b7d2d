"""Tiny, randomly initialized pipelines of the real classes of transformers, built in memory."""

import json

import torch
from diffusers import (
    AutoencoderDC,
    DiffusionPipeline,
    DPMSolverMultistepScheduler,
    FlowMatchEulerDiscreteScheduler,
    PixArtAlphaPipeline,
    PixArtSigmaPipeline,
    PixArtTransformer2DModel,
    SanaPipeline,
    SanaSprintPipeline,
    SanaTransformer2DModel,
    SCMScheduler,
)
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors, trainers
from transformers import Gemma2Config, Gemma2Model, GemmaTokenizer, T5Config, T5EncoderModel
from transformers import T5Tokenizer as RealT5Tokenizer

from tests.pipelines import WORDS, Tiny, _tiny_vae

SENTENCES = [f"a {one} {other}" for one in WORDS.split() for other in WORDS.split()]
INSTRUCTION = ["Describe on a day in style:", "- a cat -> a red cat", "User Prompt: "]
WIDTH = 16


def t5_tokenizer() -> RealT5Tokenizer:
    """Build T5's tokenizer with one token for each known word and letters for the rest."""
    pieces = {"<pad>": 0.0, "</s>": 0.0, "<unk>": 0.0, "▁": -3.0}
    pieces |= dict.fromkeys("abcdefghijklmnopqrstuvwxyz.,-", -6.0)
    pieces |= dict.fromkeys([f"▁{word}" for word in WORDS.split()], -1.0)
    return RealT5Tokenizer(vocab=list(pieces.items()), extra_ids=0)


def gemma_tokenizer() -> GemmaTokenizer:
    """Train Gemma's tokenizer on a few sentences."""
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>", byte_fallback=True, fuse_unk=True))
    tokenizer.normalizer = normalizers.Replace(" ", "▁")
    tokenizer.pre_tokenizer = pre_tokenizers.Split("▁", "merged_with_next")
    special = ["<pad>", "<eos>", "<bos>", "<unk>", "<mask>"]
    trainer = trainers.BpeTrainer(vocab_size=160, special_tokens=special, show_progress=False)
    tokenizer.train_from_iterator([*SENTENCES, *INSTRUCTION], trainer)
    model = json.loads(tokenizer.to_str())["model"]
    merges = [tuple(one) for one in model["merges"]]
    found = GemmaTokenizer(vocab=model["vocab"], merges=merges)
    found.backend_tokenizer.post_processor = processors.TemplateProcessing(
        single="<bos> $A", special_tokens=[("<bos>", model["vocab"]["<bos>"])]
    )
    return found


def sharpened(transformer):
    """Sharpen random attention, so that heads differ."""
    for name, parameter in transformer.named_parameters():
        if "attn2.to_q" in name or "attn2.to_k" in name:
            parameter.data *= 6
    return transformer.eval()


def tiny_pixart(cls: type = PixArtAlphaPipeline) -> DiffusionPipeline:
    """Build a PixArt pipeline: 2 layers of 3 heads, patches of 2 × 2 latents."""
    torch.manual_seed(0)
    tokenizer = t5_tokenizer()
    config = T5Config(
        vocab_size=len(tokenizer), d_model=WIDTH, d_kv=8, d_ff=WIDTH, num_layers=2, num_heads=2
    )
    transformer = PixArtTransformer2DModel(
        sample_size=8,
        num_layers=2,
        attention_head_dim=8,
        num_attention_heads=3,
        cross_attention_dim=24,
        caption_channels=WIDTH,
    )
    pipe = cls(
        tokenizer=tokenizer,
        text_encoder=T5EncoderModel(config).eval(),
        vae=_tiny_vae(),
        transformer=sharpened(transformer),
        scheduler=DPMSolverMultistepScheduler(),
    )
    pipe.set_progress_bar_config(disable=True)
    return pipe


def tiny_sigma() -> DiffusionPipeline:
    """Build a PixArt-Σ pipeline."""
    return tiny_pixart(PixArtSigmaPipeline)


def tiny_sana(norm: str | None = None) -> DiffusionPipeline:
    """Build a Sana pipeline: 2 layers of 3 heads, possibly with norms behind the projections."""
    parts = _sana_parts(norm)
    pipe = SanaPipeline(scheduler=FlowMatchEulerDiscreteScheduler(shift=3.0), **parts)
    pipe.set_progress_bar_config(disable=True)
    return pipe


def tiny_normed_sana() -> DiffusionPipeline:
    """Build a Sana pipeline with norms behind the projections of its queries and keys."""
    return tiny_sana("rms_norm_across_heads")


def tiny_sprint() -> DiffusionPipeline:
    """Build a Sana-Sprint pipeline, which is guided by an embedding."""
    parts = _sana_parts("rms_norm_across_heads", guidance_embeds=True)
    pipe = SanaSprintPipeline(scheduler=SCMScheduler(), **parts)
    pipe.set_progress_bar_config(disable=True)
    return pipe


def _sana_parts(norm, **config):
    torch.manual_seed(0)
    tokenizer = gemma_tokenizer()
    text = Gemma2Config(
        vocab_size=len(tokenizer),
        hidden_size=WIDTH,
        intermediate_size=WIDTH,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=1,
        head_dim=8,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    blocks = {}
    for side in ("encoder", "decoder"):
        blocks[f"{side}_block_types"] = "ResBlock"
        blocks[f"{side}_block_out_channels"] = (8, 8)
        blocks[f"{side}_layers_per_block"] = (1, 1)
        blocks[f"{side}_qkv_multiscales"] = ((), ())
    vae = AutoencoderDC(
        latent_channels=4,
        **blocks,
        upsample_block_type="interpolate",
        downsample_block_type="conv",
    )
    transformer = SanaTransformer2DModel(
        in_channels=4,
        out_channels=4,
        num_attention_heads=2,
        attention_head_dim=12,
        num_layers=2,
        num_cross_attention_heads=3,
        cross_attention_head_dim=8,
        cross_attention_dim=24,
        caption_channels=WIDTH,
        sample_size=16,
        qk_norm=norm,
        **config,
    )
    return {
        "tokenizer": tokenizer,
        "text_encoder": Gemma2Model(text).eval(),
        "vae": vae.eval(),
        "transformer": sharpened(transformer),
    }


SANA_CALL = {
    "use_resolution_binning": False,
    "height": 32,
    "width": 32,
    "complex_human_instruction": INSTRUCTION,
    "max_sequence_length": 24,
}
TRANSFORMERS = {
    "pixart-alpha": Tiny(tiny_pixart, {"use_resolution_binning": False}),
    "pixart-sigma": Tiny(tiny_sigma, {"use_resolution_binning": False, "max_sequence_length": 40}),
    "sana": Tiny(tiny_sana, SANA_CALL),
    "sana-normed": Tiny(tiny_normed_sana, SANA_CALL),
    "sana-sprint": Tiny(tiny_sprint, SANA_CALL | {"num_inference_steps": 2}),
}
