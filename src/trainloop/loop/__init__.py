"""The training loop: steps that emit typed events. Nothing here prints or knows which implementation a stage has."""
