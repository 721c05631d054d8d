"""Geometry beside correspondences: undistortion, registration, ray casting, sparse matches."""
