"""The source ``rgbd``."""
