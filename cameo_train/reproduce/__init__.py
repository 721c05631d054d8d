"""Does supervised attention halve the iterations? The experiment of ``cameo-train reproduce``."""
