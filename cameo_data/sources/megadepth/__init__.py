"""The source ``megadepth``."""
