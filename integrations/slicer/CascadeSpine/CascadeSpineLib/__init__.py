"""What the module does without 3D Slicer: the command, its result, its clicks."""
