"""Samples in plain WebDataset tars: codecs, writer, index, reader and verification.

The format is specified in ``docs/shards.md``.
"""
