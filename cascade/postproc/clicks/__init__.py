"""What a person says about a result: points in the scan, and what they change."""
