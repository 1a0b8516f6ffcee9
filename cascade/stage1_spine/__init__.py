"""Stage 1: where is the spine? One tag for the whole column."""
