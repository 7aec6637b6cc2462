"""More in use than the machine has memory, and who is to be on time all the same."""
