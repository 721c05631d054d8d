"""The source ``scannetpp``."""
