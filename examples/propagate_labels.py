"""Label a scan by atlases, look at the volumes and at how sure they are.

python examples/propagate_labels.py scan.nii.gz --atlas a.nii.gz a_seg.nii.gz \\
    --atlas b.nii.gz b_seg.nii.gz
"""

import argparse

import optreg

parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
parser.add_argument("scan", help="image to be labelled")
parser.add_argument(
    "--atlas",
    nargs=2,
    action="append",
    required=True,
    metavar=("IMAGE", "LABELS"),
    help="an image and its label map; give several",
)
parser.add_argument("--init", default="auto", help="how to align the atlases: affine, rigid, ...")
parser.add_argument("--preset", default="default", help="fast, default or accurate")
parser.add_argument("--output", default="labelled", help="folder for the results")
args = parser.parse_args()

result = optreg.propagate(
    args.scan,
    args.atlas,
    preset=args.preset,
    init=args.init,
    keep=f"{args.output}/atlases",  # run again, it goes on where it was
)
result.save(args.output, overwrite=True)  # labels, agreement, volumes, settings

for atlas in result.atlases:
    print(f"{atlas['name']}: has the label that won in {100 * atlas['same_label']:.1f} %")
for label, voxels, volume_mm3, agreement in result.volumes():
    print(f"label {label:5d}  {volume_mm3:10.1f} mm3  agreement {agreement:.2f}  ({voxels} voxels)")
