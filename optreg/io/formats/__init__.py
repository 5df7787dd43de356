"""Foreign formats of transforms, one a file; `optreg.io.fields` chooses among them.

A reader takes the file and the grids of both images and gives an `Affine` or a `DisplacementField`;
a writer takes one of these. The numbers themselves are converted in `frame.py`.
"""
