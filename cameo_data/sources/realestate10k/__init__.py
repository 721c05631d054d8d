"""The source ``realestate10k``."""
