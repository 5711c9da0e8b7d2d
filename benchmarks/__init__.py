"""What hrvlab's work costs, against plain generation and against the naive way."""
