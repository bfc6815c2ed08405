"""Sizes and receptive fields through a whole network."""
