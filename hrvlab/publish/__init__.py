"""Publishing of chapters: check parameters, execute notebooks, render the book."""
