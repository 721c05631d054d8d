"""The source ``nerfstudio``."""
