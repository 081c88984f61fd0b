"""The segmentation node and its parts."""
