"""Shards become batches: decoding, augmentation, the order of samples."""
