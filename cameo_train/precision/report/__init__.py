"""The page and figures of ``cameo-train precision``."""
