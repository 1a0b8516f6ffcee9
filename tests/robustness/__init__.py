"""What happens to files, folders, disks and processes that are not as they should be."""
