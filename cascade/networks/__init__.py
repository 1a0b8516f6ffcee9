"""From a checkpoint on disk to class probabilities on a grid."""
