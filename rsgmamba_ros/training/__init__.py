"""Loss, schedule and trainer."""
