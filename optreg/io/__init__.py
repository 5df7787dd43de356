"""Files: images, displacement fields and landmarks in, and out again."""

from optreg.io.fields import read_field, read_transform, write_field, write_transform
from optreg.io.images import load_image, save_image
from optreg.io.landmarks import Landmarks, read_landmarks, write_landmarks

__all__ = [
    "Landmarks",
    "load_image",
    "read_field",
    "read_landmarks",
    "read_transform",
    "save_image",
    "write_field",
    "write_landmarks",
    "write_transform",
]
