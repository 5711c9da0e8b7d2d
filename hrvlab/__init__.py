"""hrvlab: the interpretability workbench for attention heads of text-to-image diffusion models.

Public names are imported when they are first used; ``__init__.pyi`` lists where each is defined.
"""

import os

import lazy_loader

from hrvlab.relevance import accessor as _accessor  # noqa: F401  (registers .hrv)

# Threads that spin while they wait make everything else on the machine, and each other, slow. It
# has to be said before torch is loaded.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
