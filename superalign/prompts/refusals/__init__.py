"""What tells a refusal: a list of phrases, and a small classifier for refusals that use none of them."""
