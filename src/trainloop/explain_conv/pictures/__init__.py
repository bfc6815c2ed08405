"""An explanation as pictures: stills and animations, drawn from one scene as SVG, PNG or GIF."""
