"""The source ``colmap``."""
