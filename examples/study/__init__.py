"""Which objective, precision and start make the best student: several students of one finished run, and their table."""
