"""Geometry other than correspondence: undistortion, registration, ray casting, sparse matches."""
