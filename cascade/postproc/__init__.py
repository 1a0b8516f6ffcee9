"""Which level is which? Class probabilities -> instances -> one ordered chain -> names -> labels. No torch in here."""
