"""What a data set holds, for people: the command, its table and its page."""
