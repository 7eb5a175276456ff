"""Making data sets: by simple behaviours, and by agents of our own or a user's."""
