"""How explanations look in a terminal: lines of text for a given width, styled where the terminal can."""
