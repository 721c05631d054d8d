"""The source ``generic``."""
