"""What lies beside the package: the MONAI Label app, the module of 3D Slicer."""
