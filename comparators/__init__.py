"""Other people's fusion of 2D masks into 3D instances, written anew, on our caches and masks.

Every comparator reads a cache (points, poses, masks, features) and leaves a predictions folder:

    python -m comparators --method=ovir3d --cache=CACHE --out=RESULT

`moonseg eval`, `moonseg export` and the pictures take it as they take ours. On a cache whose
geometry is predicted, each is its own monocular variant. EmbodiedSAM is a trained network: its
masks over the ground truth's vertices, as an npz, go to `moonseg eval` directly.
"""

from comparators.methods import METHODS, Method, segment_cache

__all__ = ["METHODS", "Method", "segment_cache"]
