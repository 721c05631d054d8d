"""The source ``wildrgbd``."""
