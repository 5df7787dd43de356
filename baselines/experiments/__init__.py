"""What changes the result of a registration, one experiment a file; ``experiment.py`` runs them."""
