"""Files in, files out: the only room that knows formats and the conventions of others (LPS, DICOM, BIDS)."""
