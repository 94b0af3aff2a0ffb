"""From anybody's recording to frames: sources, frozen backbones, and the bridge that runs them."""
