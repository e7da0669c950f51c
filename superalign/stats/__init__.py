"""Statistics that know nothing of roles: intervals, classifiers, annotators, text similarity."""
