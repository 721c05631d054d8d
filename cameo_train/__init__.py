"""Trains multi-view diffusion models on correspondence shards and measures what they know.

Supervision of any model's attention needs four names of it::

    from cameo_train import build_head_mix, correspondence_loss, tap, token_targets

``__init__.pyi`` lists what is exported. Importing this package loads no torch: names are resolved
on first use.
"""

import logging

import lazy_loader

from cameo_data import __version__ as __version__

# a library is silent unless the program that uses it wants to see what it logs
logging.getLogger(__name__).addHandler(logging.NullHandler())

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
