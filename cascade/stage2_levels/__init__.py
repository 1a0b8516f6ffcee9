"""Stage 2: what is vertebra, what is disc? Patches along the spine that stage 1 found."""
