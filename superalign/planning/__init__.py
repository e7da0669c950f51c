"""What a run will take: calls, tokens, memory and time, told before it starts (`--dry-run`)."""
