"""Depth that ``cameo-data depth`` wrote, attached to the frames of any source."""
