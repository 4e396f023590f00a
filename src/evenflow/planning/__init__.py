"""What each parameter is drawn from, and why."""
