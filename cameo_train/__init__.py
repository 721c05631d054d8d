"""Trains multi-view diffusion models on correspondence shards and measures what they know."""

__version__ = "0.1.0"
