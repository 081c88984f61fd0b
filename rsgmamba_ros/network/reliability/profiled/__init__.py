"""The head that a sensor profile sharpens: evidence, what is normal, departures from it, reliability."""
