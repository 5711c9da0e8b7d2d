"""Tiny language models and their tokenizers, as pipelines of transformers take them."""

import json

import torch
from tokenizers import Tokenizer, models, pre_tokenizers, processors, trainers
from transformers import (
    BertTokenizer,
    GlmConfig,
    GlmModel,
    Mistral3Config,
    Mistral3ForConditionalGeneration,
    PreTrainedTokenizerFast,
    ProcessorMixin,
    Qwen2_5_VLConfig,
    Qwen2_5_VLForConditionalGeneration,
    Qwen2Tokenizer,
    Qwen3Config,
    Qwen3ForCausalLM,
)

from tests.pipelines import WORDS
from tests.tiny_transformers import SENTENCES

CHAT = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n"
    "{{ message['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n"
    "{% if not enable_thinking | default(true) %}<think>\n\n</think>\n\n{% endif %}{% endif %}"
)
MARKS = ["<|endoftext|>", "<|im_start|>", "<|im_end|>", "<think>", "</think>"]
SMALL = {
    "hidden_size": 16,
    "intermediate_size": 16,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
}


INSTRUCTED = (
    "{{ bos_token }}{% for message in messages %}{% for part in message['content'] %}"
    "{% if message['role'] == 'system' %}[SYSTEM_PROMPT]{{ part['text'] }}[/SYSTEM_PROMPT]"
    "{% else %}[INST]{{ part['text'] }}[/INST]{% endif %}{% endfor %}{% endfor %}"
)
MISTRAL = ["<unk>", "<s>", "</s>", "<pad>", "[SYSTEM_PROMPT]", "[/SYSTEM_PROMPT]"]
MISTRAL += ["[INST]", "[/INST]", "[IMG]", "[IMG_BREAK]", "[IMG_END]"]


def _trained(special=()):
    """Train byte-level tokens on a few sentences."""
    trained = Tokenizer(models.BPE())
    trained.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=330,
        initial_alphabet=alphabet,
        special_tokens=list(special),
        show_progress=False,
    )
    trained.train_from_iterator(SENTENCES, trainer)
    return trained


def qwen_tokenizer() -> Qwen2Tokenizer:
    """Train Qwen's tokenizer on a few sentences."""
    model = json.loads(_trained().to_str())["model"]
    vocabulary = model["vocab"] | {
        mark: len(model["vocab"]) + number for number, mark in enumerate(MARKS)
    }
    merges = [tuple(one) for one in model["merges"]]
    tokenizer = Qwen2Tokenizer(vocab=vocabulary, merges=merges, eos_token="<|im_end|>")
    tokenizer.add_special_tokens({"additional_special_tokens": MARKS[1:]})
    tokenizer.chat_template = CHAT
    return tokenizer


def tiny_qwen_vl(tokenizer: Qwen2Tokenizer) -> Qwen2_5_VLForConditionalGeneration:
    """Build the language model of Qwen-Image, with as small an image encoder."""
    vision = {"depth": 1, "hidden_size": 16, "intermediate_size": 16, "num_heads": 2}
    config = Qwen2_5_VLConfig(
        text_config=SMALL
        | {
            "vocab_size": len(tokenizer),
            "num_hidden_layers": 2,
            "rope_parameters": {"rope_type": "default", "mrope_section": [1, 1, 2]},
        },
        vision_config=vision | {"out_hidden_size": 16, "fullatt_block_indexes": [0]},
        vocab_size=len(tokenizer),
    )
    return Qwen2_5_VLForConditionalGeneration(config).eval()


def tiny_qwen(tokenizer: Qwen2Tokenizer, layers: int = 2) -> Qwen3ForCausalLM:
    """Build Qwen 3."""
    config = Qwen3Config(
        **SMALL, vocab_size=len(tokenizer), num_hidden_layers=layers, head_dim=8, pad_token_id=0
    )
    return Qwen3ForCausalLM(config).eval()


class TextProcessor(ProcessorMixin):
    """A processor of texts; that of Mistral 3 takes images too, for which it needs torchvision."""

    def __init__(self, tokenizer, chat_template=None):
        super().__init__(tokenizer, chat_template=chat_template)


def mistral_processor() -> TextProcessor:
    """Train the tokenizer of Mistral 3 on a few sentences, in a processor."""
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=_trained(MISTRAL),
        bos_token="<s>",
        eos_token="</s>",
        pad_token="<pad>",
        padding_side="left",
    )
    return TextProcessor(tokenizer, chat_template=INSTRUCTED)


def tiny_mistral(processor: TextProcessor) -> Mistral3ForConditionalGeneration:
    """Build Mistral 3, with as small an image encoder."""
    text = {"model_type": "mistral", "vocab_size": len(processor.tokenizer), "head_dim": 8}
    vision = {"model_type": "pixtral", "hidden_size": 16, "intermediate_size": 16}
    config = Mistral3Config(
        text_config=SMALL | text | {"num_hidden_layers": 3},
        vision_config=vision | {"num_hidden_layers": 1, "num_attention_heads": 2},
        image_token_index=processor.tokenizer.convert_tokens_to_ids("[IMG]"),
    )
    return Mistral3ForConditionalGeneration(config).eval()


def bert_tokenizer() -> BertTokenizer:
    """Build BERT's tokenizer with one token for each known word and letters for the rest."""
    letters = "abcdefghijklmnopqrstuvwxyz.,-"
    tokens = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *WORDS.split()]
    tokens += [*letters, *(f"##{letter}" for letter in letters)]
    vocabulary = {token: number for number, token in enumerate(dict.fromkeys(tokens))}
    return BertTokenizer(vocab=vocabulary, model_max_length=77)


def glm_tokenizer() -> PreTrainedTokenizerFast:
    """Train GLM's tokenizer on a few sentences: two marks stand before every text."""
    marks = ["<|endoftext|>", "[gMASK]", "<sop>"]
    trained = _trained(marks)
    trained.post_processor = processors.TemplateProcessing(
        single="[gMASK] <sop> $A",
        special_tokens=[(mark, trained.token_to_id(mark)) for mark in marks[1:]],
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=trained,
        eos_token=marks[0],
        pad_token=marks[0],
        padding_side="left",
        additional_special_tokens=marks[1:],
    )


def tiny_glm(tokenizer: PreTrainedTokenizerFast) -> GlmModel:
    """Build GLM."""
    config = GlmConfig(
        **SMALL, vocab_size=len(tokenizer), num_hidden_layers=2, head_dim=8, pad_token_id=0
    )
    return GlmModel(config).eval()


def sharpened(transformer):
    """Sharpen random attention, so that heads differ, and let every part act."""
    torch.manual_seed(1)
    for name, parameter in transformer.named_parameters():
        part = name.rpartition(".")[0].rpartition(".")[2]
        if "norm" not in part and part.split("_")[-1] in ("q", "k", "q_proj", "k_proj"):
            parameter.data *= 4
        elif not parameter.any():
            parameter.data.normal_(std=0.2)
    return transformer.eval()
