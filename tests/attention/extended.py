"""A run whose text is extended by words, under an explicit mask, to compare the stream with."""

from contextlib import contextmanager

import torch
from torch.nn import functional

from hrvlab.models.families import denoiser_of, family_of


def calls_of(pipe):
    """How many denoiser calls a step makes, and whether text precedes the image."""
    kind = type(pipe).__name__
    return 1 + (kind == "ChromaPipeline"), kind != "StableDiffusion3Pipeline"


@contextmanager
def extended(pipe, tap):
    """Extend the text of every call by the words that a tap had carried, and yield what is seen.

    That is, for each of the prompts' calls and layers, query, key, and output of words and image.
    Words read their own word, the sink and the image; text and image do not read them.
    """
    each, first = calls_of(pipe)
    own, calls, now = functional.scaled_dot_product_attention, [], []

    def extend(_, args, kwargs):
        number = len(calls) // each
        states = kwargs["encoder_hidden_states"]
        words = tap.drawn[number]
        count, columns = words.full.shape
        rows = words.states.repeat(len(states) // count, 1, 1)
        kwargs = kwargs | {"encoder_hidden_states": torch.cat([states, rows], dim=1)}
        text = states.shape[1]
        if "txt_ids" in kwargs:
            ids = kwargs["txt_ids"]
            kwargs["txt_ids"] = torch.cat([ids, ids.new_zeros(columns, 3)])
        if (mask := kwargs.get("attention_mask")) is not None:
            ones = mask.new_ones(len(mask), columns)
            kwargs["attention_mask"] = torch.cat([mask[:, :text], ones, mask[:, text:]], dim=1)
        reads = tap.slots.reads(words.full)
        now[:] = [text, reads.repeat(len(states) // count, 1, 1), count, columns]
        calls.append([])
        return args, kwargs

    def attend(query, key, value, attn_mask=None, **how):
        if not now:
            return own(query, key, value, attn_mask=attn_mask, **how)
        text, reads, count, columns = now
        keys = key.shape[2]
        if keys <= text + columns:  # the image's own, of the second attention
            return own(query, key, value, attn_mask=attn_mask, **how)
        start = text if first else keys - columns
        words = slice(start, start + columns)
        image = slice(start + columns, keys) if first else slice(0, keys - columns - text)
        seen = torch.ones(len(query), keys, keys, dtype=torch.bool)
        seen[:, :, words] = False
        seen[:, words] = False
        seen[:, words, image] = True
        seen[:, words, words] = reads
        scores = query @ key.mT * query.shape[-1] ** -0.5
        scores = scores if attn_mask is None else scores + attn_mask
        output = scores.masked_fill(~seen[:, None], -torch.inf).softmax(dim=-1) @ value
        prompts = slice(len(query) - count, None)  # after those of the negative prompt
        found = [query[prompts, :, image], output[prompts, :, image]]
        calls[-1].append([*found, key[prompts, :, words], output[prompts, :, words]])
        return output

    denoiser = denoiser_of(pipe)
    handles = [
        denoiser.register_forward_pre_hook(extend, with_kwargs=True),
        denoiser.register_forward_hook(lambda *_: now.clear()),
    ]
    functional.scaled_dot_product_attention = attend
    try:
        yield calls
    finally:
        functional.scaled_dot_product_attention = own
        for handle in handles:
            handle.remove()


def heat_maps(pipe, run, states):
    """Derive ConceptAttention's heat maps anew, from the parts of FLUX's double blocks.

    After ``ModifiedDoubleStreamBlock`` of helblazer811/ConceptAttention (db30c4d), one concept at a
    time: its tokens and the image's keys are read, outputs are taken before the projection, all
    heads' are joined, and the products go through a softmax over concepts. The modulation is the
    run's, where that repository gives concepts a pooled vector of zeros.

    Parameters
    ----------
    pipe : FluxPipeline
    run : callable
        Runs it.
    states : Tensor, shape (concept, dim)
        Text states of concepts of one token.

    Returns
    -------
    Tensor, shape (position, concept)
        The mean over blocks and calls.
    """
    transformer, maps, concepts = pipe.transformer, [], []

    def heads(states, attn, norm=None):
        split = states.unflatten(-1, (attn.heads, -1))
        return (split if norm is None else norm(split)).transpose(1, 2)

    def rotate(states, tables):
        cos, sin = (table[-states.shape[2] :] for table in tables)
        one, other = states.unflatten(-1, (-1, 2)).unbind(-1)
        return states * cos + torch.stack([-other, one], dim=-1).flatten(3) * sin

    def block_of(number, block, args, given):
        attn, temb, tables = block.attn, given["temb"], given["image_rotary_emb"]
        if number == 0:
            concepts[:] = [transformer.context_embedder(states)[None]]
        image, *_ = block.norm1(given["hidden_states"], emb=temb)
        text, *_ = block.norm1_context(given["encoder_hidden_states"], emb=temb)
        query = rotate(heads(attn.to_q(image), attn, attn.norm_q), tables)
        key = rotate(heads(attn.to_k(image), attn, attn.norm_k), tables)
        value = heads(attn.to_v(image), attn)
        text_key = heads(attn.add_k_proj(text), attn, attn.norm_added_k)
        text_value = heads(attn.add_v_proj(text), attn)
        scores = query @ torch.cat([text_key, key], dim=2).mT * key.shape[-1] ** -0.5
        seen = scores.softmax(dim=-1) @ torch.cat([text_value, value], dim=2)

        (before,) = concepts
        normed, gate, shift, scale, gate_mlp = block.norm1_context(before, emb=temb)
        own_query = heads(attn.add_q_proj(normed), attn, attn.norm_added_q)
        own_key = heads(attn.add_k_proj(normed), attn, attn.norm_added_k)
        own_value = heads(attn.add_v_proj(normed), attn)
        itself = (own_query * own_key).sum(dim=-1, keepdim=True)
        scores = torch.cat([itself, own_query @ key.mT], dim=-1) * key.shape[-1] ** -0.5
        weights = scores.softmax(dim=-1)
        read = weights[..., :1] * own_value + weights[..., 1:] @ value
        maps.append((_joined(seen) @ _joined(read).mT).softmax(dim=-1)[0])
        after = before + gate[:, None] * attn.to_add_out(_joined(read))
        mlp = block.norm2_context(after) * (1 + scale[:, None]) + shift[:, None]
        concepts[:] = [after + gate_mlp[:, None] * block.ff_context(mlp)]

    hooks = []
    for number, block in enumerate(transformer.transformer_blocks):

        def before(module, args, given, number=number):
            block_of(number, module, args, given)

        hooks.append(block.register_forward_pre_hook(before, with_kwargs=True))
    try:
        with torch.no_grad():
            run()
    finally:
        for hook in hooks:
            hook.remove()
    return torch.stack(maps).mean(dim=0)


def _joined(states):
    return states.transpose(1, 2).flatten(2)


def encoding_of(pipe, call):
    return family_of(pipe).encoding(pipe, call)
