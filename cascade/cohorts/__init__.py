"""Many scans, none lost: jobs, workers, and a manifest of what became of each."""
