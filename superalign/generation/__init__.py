"""Generation: requests in, tokens with log-probabilities out."""
