"""Mistakes planted in exact scenes of several kinds, and what ``cameo-data check`` names."""
