"""The words that every other layer shares: images, labels, results, errors. NumPy at most."""
