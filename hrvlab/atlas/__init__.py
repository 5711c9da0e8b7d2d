"""The head atlas: what the explorer shows of every head, as data, and the pages that hold it.

Public names are imported when they are first used; ``__init__.pyi`` lists where each is defined.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
