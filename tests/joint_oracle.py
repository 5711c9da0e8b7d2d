"""Joint attention computed with explicit maps, to compare what is read with."""

from contextlib import contextmanager

import torch
from torch.nn import functional


@contextmanager
def explicit_joint(
    denoiser,
    is_joint=lambda keys: True,
    change=lambda call, layer, maps: maps,
    modules=None,
):
    """Compute attention of a denoiser by explicit maps, and yield those of its steps' calls.

    Calls that skip layers, for guidance, are left out, and so are attentions whose number of keys
    is not that of text and image, or that other modules compute than those whose names end as
    given. Maps may be changed, by call and layer.
    """
    own, calls, inside = functional.scaled_dot_product_attention, [], []
    within = [modules is None]

    def attend(query, key, value, attn_mask=None, *args, **how):
        if not inside or not within[-1] or not is_joint(key.shape[2]):
            return own(query, key, value, attn_mask, *args, **how)
        scores = query @ key.mT * query.shape[-1] ** -0.5
        if attn_mask is not None and attn_mask.dtype == torch.bool:
            scores = scores.masked_fill(~attn_mask, -torch.inf)
        elif attn_mask is not None:
            scores = scores + attn_mask
        maps = change(len(calls) - 1, len(inside[-1]), torch.softmax(scores, dim=-1))
        inside[-1].append(maps)
        return maps @ value

    def begin(_, __, kwargs):
        inside.append([])
        if kwargs.get("skip_layers") is None:
            calls.append(inside[-1])

    handles = [
        denoiser.register_forward_pre_hook(begin, with_kwargs=True),
        denoiser.register_forward_hook(lambda *_: inside.clear()),
    ]
    for name, module in denoiser.named_modules():
        if modules is not None and name.endswith(modules):
            handles.append(module.register_forward_pre_hook(lambda *_: within.append(True)))
            handles.append(module.register_forward_hook(lambda *_: within.append(False)))
    functional.scaled_dot_product_attention = attend
    try:
        yield calls
    finally:
        functional.scaled_dot_product_attention = own
        for handle in handles:
            handle.remove()
