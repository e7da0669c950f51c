"""The experts: a leased, budgeted queue and the ways to answer it."""
