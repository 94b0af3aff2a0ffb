"""What looks at one frame: geometry, semantics, 2D masks."""
