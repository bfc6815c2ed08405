"""Measure every way to compute a convolution beside the library's."""
