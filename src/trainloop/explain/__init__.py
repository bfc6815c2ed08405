"""``trainloop explain-step``: one training step taken apart, with the numbers of one weight."""
