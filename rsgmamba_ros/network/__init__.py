"""The RSGMamba network: images and their availability -> logits and reliability."""
