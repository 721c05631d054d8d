"""Trains multi-view diffusion models on correspondence shards and measures what they know."""

from cameo_data import __version__

__all__ = ["__version__"]
