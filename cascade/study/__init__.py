"""Several series of one patient: which body is which in all of them, one numbering, and what each axial slice shows."""
