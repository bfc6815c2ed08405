"""``trainloop explain-conv``: one convolution or transposed convolution, with every number computed and checked."""
