"""Scores that need no model."""

import numpy as np


class Brightness:
    """How bright the image is, and how long the text."""

    name = "brightness"
    threshold = 0.0

    def check(self, texts):
        """It takes any text."""

    def __call__(self, images, texts):
        lengths = np.array([len(text) for text in texts])
        return (images.mean((1, 2, 3)) + lengths).astype(np.float32)


class HighThreshold(Brightness):
    """Brightness of which no image has enough."""

    threshold = 1e6


class NoThreshold(Brightness):
    """Brightness of which no amount is said to be enough."""

    name = "brightness alone"
    threshold = None


class Darkness(Brightness):
    """The opposite of brightness."""

    name = "darkness"

    def __call__(self, images, texts):
        return -super().__call__(images, texts)


class Redness:
    """How red the image is, times the length of the text."""

    name = "redness"
    threshold = 0.0

    def check(self, texts):
        """It takes any text."""

    def __call__(self, images, texts):
        return (images[..., 0].mean((1, 2)) * [len(text) for text in texts]).astype(np.float32)
