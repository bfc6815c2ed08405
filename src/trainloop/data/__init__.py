"""Where images come from: the embedded set, CIFAR-10 in its binary layout, or a folder of images."""
