"""Compiled kernels for the CPU, its threads, how they share it with other programs, and its memory."""
