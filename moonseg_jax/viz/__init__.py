"""Results for people: clouds that any viewer opens, and one picture that needs none."""

from moonseg_jax.viz.contact_sheet import write_contact_sheet
from moonseg_jax.viz.palette import instance_colors
from moonseg_jax.viz.ply import write_ply

__all__ = ["instance_colors", "write_contact_sheet", "write_ply"]
