"""Register two images, look at the numbers, warp a label map the same way.

python examples/register_two.py fixed.nii.gz moving.nii.gz [moving_labels.nii.gz]
"""

import sys

import optreg
from optreg.io import load_image, save_image

fixed_path, moving_path, *labels_path = sys.argv[1:]

result = optreg.register(fixed_path, moving_path, preset="default")
result.save("registration", overwrite=True)  # fields, warped image, settings, numbers

print(result.status.value)
for name, value in result.quality.items():
    print(f"{name:30s} {value:.4g}")

for path in labels_path:
    labels = load_image(path)
    warped = result.transform.apply(labels, interpolation="label")
    save_image("registration/warped_labels.nii.gz", warped.data, warped.grid, overwrite=True)
