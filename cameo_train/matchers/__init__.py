"""Matchers, which find a point of one view in another: features, keypoints, attention."""
