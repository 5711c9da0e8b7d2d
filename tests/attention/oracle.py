"""Cross-attention computed with explicit maps, to compare the hooks with."""

import torch


class ExplicitMaps:
    """An attention processor that materializes every map, optionally changes it, and keeps it."""

    def __init__(self, change=None):
        self.change = change or (lambda maps: maps)
        self.maps = []

    def __call__(self, attn, hidden_states, encoder_hidden_states=None, **_):
        text = hidden_states if encoder_hidden_states is None else encoder_hidden_states
        query, key, value = (
            projection(states).unflatten(-1, (attn.heads, -1)).transpose(1, 2)
            for projection, states in (
                (attn.to_q, hidden_states),
                (attn.to_k, text),
                (attn.to_v, text),
            )
        )
        maps = torch.softmax(query @ key.transpose(-1, -2) * attn.scale, dim=-1)
        self.maps.append(maps)
        mixed = (self.change(maps) @ value).transpose(1, 2).flatten(-2)
        return attn.to_out[1](attn.to_out[0](mixed))


def explicit(pipe, layers, changes=None):
    """Set an explicit processor in every cross-attention layer, and return them by layer."""
    processors = [ExplicitMaps(changes[layer.index] if changes else None) for layer in layers]
    for layer, processor in zip(layers, processors, strict=True):
        pipe.unet.get_submodule(layer.module).set_processor(processor)
    return processors
