"""Joint attention computed with explicit maps, to compare what is read with."""

from contextlib import contextmanager

import torch
from torch.nn import functional


@contextmanager
def explicit_joint(denoiser):
    """Compute every attention of a denoiser by explicit maps, and yield those of its steps' calls.

    Calls that skip layers, for guidance, are left out.
    """
    own, calls, inside = functional.scaled_dot_product_attention, [], []

    def attend(query, key, value, attn_mask=None, **how):
        if not inside:
            return own(query, key, value, attn_mask=attn_mask, **how)
        scores = query @ key.mT * query.shape[-1] ** -0.5
        maps = torch.softmax(scores if attn_mask is None else scores + attn_mask, dim=-1)
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
    functional.scaled_dot_product_attention = attend
    try:
        yield calls
    finally:
        functional.scaled_dot_product_attention = own
        for handle in handles:
            handle.remove()
