"""What a replay leaves for people: figures, pictures, summary, page."""
