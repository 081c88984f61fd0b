"""The network on a device: precision, graphs, and the path from images to labels."""
