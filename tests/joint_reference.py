"""Where text and image are in the explicit maps of joint attention, and which are the prompts'."""

from contextlib import contextmanager
from itertools import repeat

from hrvlab.models.families import family_of
from tests.joint_oracle import explicit_joint


class Reference:
    """Which attentions are the prompts', and where text and image are in them."""

    def __init__(self, joint, pipe, pixels, *, guided):
        self.joint, self.pixels = joint, pixels
        self.heads = [layer.heads for layer in family_of(pipe).layers(pipe.transformer)]
        self.branches = joint.branches if guided and joint.guided else "unguided"

    def step(self, call):
        """Return the step of a denoiser call; None: it is a negative prompt's."""
        if self.branches == "two calls":
            return None if call % 2 else call // 2
        if self.branches == "truncated":
            return {0: 0, 1: None}.get(call, call - 1)
        return call

    def rows(self, maps):
        """Return the prompts' rows."""
        half = len(maps) // 2
        slices = {"negative first": slice(half, None), "prompt first": slice(half)}
        return maps[slices.get(self.branches, slice(None))]

    def parts(self, row, columns, length):
        """Return what the image gives to each text column of a row, as a view.

        Where its image follows its own text, a row's length is the mask's.
        """
        keys = row.shape[-1]
        if self.joint.text == "alone":
            return row
        if length is not None:
            return row[:, length : length + self.pixels, :length]
        image, text = slice(keys - self.pixels, None), slice(columns)
        if self.joint.text == "last":
            image, text = slice(self.pixels), slice(keys - columns, None)
        return row[:, image, text]

    def explicit(self, pipe, *change):
        """Compute the attention that is read by explicit maps within a block, and yield them."""

        def is_joint(keys):
            """Tell attention over text and image from that of refiners, over one of them."""
            return not self.joint.refined or keys not in (self.pixels, 32)

        modules = "attn2" if self.joint.text == "alone" else None
        return explicit_joint(pipe.transformer, is_joint, *change, modules=modules)


@contextmanager
def lengths_given(pipe):
    """Yield the lengths of all rows' texts in each denoiser call, from a mask if there is one."""
    lengths = []

    def keep(_, __, kwargs):
        mask = kwargs.get("encoder_attention_mask")
        every = repeat(None) if mask is None else mask.sum(dim=1).tolist()
        lengths.append(every)

    handle = pipe.transformer.register_forward_pre_hook(keep, with_kwargs=True)
    yield lengths
    handle.remove()
