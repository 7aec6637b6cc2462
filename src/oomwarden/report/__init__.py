"""What an operator would have spent the night finding out: one report, rendered in any format."""
