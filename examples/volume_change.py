"""Change of volume between two scans of a person: a map, and a number for each label.

python examples/volume_change.py first.nii.gz second.nii.gz --labels first_seg.nii.gz
"""

import argparse

import numpy as np

import optreg
from optreg.io import load_image, save_image

parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
parser.add_argument("first", help="the earlier scan")
parser.add_argument("second", help="the later scan")
parser.add_argument("--labels", help="label map of the earlier scan")
parser.add_argument("--init", default="rigid", help="alignment: a head moves, it does not grow")
parser.add_argument("--preset", default="default", help="fast, default or accurate")
parser.add_argument("--output", default="log_jacobian.nii.gz", help="map to write")
args = parser.parse_args()

result = optreg.register(args.first, args.second, preset=args.preset, init=args.init)
# Volume in the second scan of what is one voxel in the first; a rigid motion does not change it.
factor = result.transform.jacobian()
save_image(args.output, np.log(factor), result.fixed.grid, overwrite=True)
inside = np.asarray(result.fixed.data) > 0
print(f"{args.output}: 0 is no change, above 0 it has grown")
print(f"whole foreground  {100 * (factor[inside].mean() - 1):+.2f} %")

if args.labels:
    labels = load_image(args.labels).data
    for label in np.unique(labels[labels != 0]):
        here = labels == label
        before_mm3 = here.sum() * np.prod(result.fixed.grid.spacing)
        change = 100 * (factor[here].mean() - 1)
        print(f"label {label:5d}  {before_mm3:10.1f} mm3  {change:+.2f} %")
