"""How a reliability head is fitted: evidence of many sensors, then the head alone."""
