"""What weak and strong models are trained on."""
