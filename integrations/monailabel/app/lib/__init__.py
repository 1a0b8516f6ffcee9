"""What the MONAI Label app is made of."""
