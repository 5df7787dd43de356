"""Register two images, look at the numbers, warp a label map the same way.

python examples/register_two.py fixed.nii.gz moving.nii.gz [moving_labels.nii.gz]
"""

import argparse

import optreg
from optreg.io import load_image, save_image

parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
parser.add_argument("fixed", help="image that stays as it is")
parser.add_argument("moving", help="image that is brought onto it")
parser.add_argument("labels", nargs="?", help="label map of the moving image")
parser.add_argument("--preset", default="default", help="fast, default or accurate")
args = parser.parse_args()

result = optreg.register(args.fixed, args.moving, preset=args.preset)
result.save("registration", overwrite=True)  # fields, warped image, settings, numbers

print(result.status.value)
for name, value in result.quality.items():
    print(f"{name:30s} {value:.4g}")

if args.labels:
    labels = load_image(args.labels)
    warped = result.transform.apply(labels, interpolation="label")
    save_image("registration/warped_labels.nii.gz", warped.data, warped.grid, overwrite=True)
