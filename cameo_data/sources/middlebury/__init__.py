"""The source ``middlebury``."""
