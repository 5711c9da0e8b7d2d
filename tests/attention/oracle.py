"""Cross-attention computed with explicit maps, to compare the hooks with."""

import torch

from hrvlab.models.families import denoiser_of


class ExplicitMaps:
    """An attention processor that materializes every map, optionally changes it, and keeps it."""

    def __init__(self, change=None):
        self.change = change or (lambda maps: maps)
        self.maps = []

    def __call__(self, attn, hidden_states, encoder_hidden_states=None, attention_mask=None, **_):
        text = hidden_states if encoder_hidden_states is None else encoder_hidden_states
        query, key, value = attn.to_q(hidden_states), attn.to_k(text), attn.to_v(text)
        if attn.norm_q is not None:
            query, key = attn.norm_q(query), attn.norm_k(key)
        query, key, value = (
            states.unflatten(-1, (attn.heads, -1)).transpose(1, 2) for states in (query, key, value)
        )
        scores = query @ key.transpose(-1, -2) * attn.scale
        if attention_mask is not None:
            scores = scores + attention_mask[:, None]
        maps = torch.softmax(scores, dim=-1)
        self.maps.append(maps)
        mixed = (self.change(maps) @ value).transpose(1, 2).flatten(-2)
        return attn.to_out[1](attn.to_out[0](mixed))


def explicit(pipe, layers, changes=None):
    """Set an explicit processor in every cross-attention layer, and return them by layer."""
    processors = [ExplicitMaps(changes[layer.index] if changes else None) for layer in layers]
    for layer, processor in zip(layers, processors, strict=True):
        denoiser_of(pipe).get_submodule(layer.module).set_processor(processor)
    return processors
