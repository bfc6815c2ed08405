"""The gallery of ``docs/gallery``: the well-known cases of convolution arithmetic and a few more; ``make gallery`` draws it."""
