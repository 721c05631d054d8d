"""The source ``hypersim``."""
