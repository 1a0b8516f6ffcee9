"""What both stages share when they are trained: cases, partial labels, augmentation, loss, the loop."""
