"""The source ``co3d``."""
