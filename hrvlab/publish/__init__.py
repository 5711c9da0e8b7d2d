"""From chapters to pages: check parameters, execute notebooks, render the book."""
