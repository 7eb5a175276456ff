"""The instrument in somebody's training loop: when to read, what is kept of it, and what is done about an alarm."""
