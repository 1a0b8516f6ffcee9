"""What a person corrects: a local page on which scans are looked at, corrected by clicks, and accepted."""
