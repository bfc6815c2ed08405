"""What is said of a convolution, whoever draws it: pure functions, without layout or colour."""
