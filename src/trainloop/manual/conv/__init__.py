"""Convolution written out: one algorithm a file, each with forward, grad_input, grad_weight and grad_bias."""
