"""What says which place of one view is which of another: features, keypoints, attention."""
