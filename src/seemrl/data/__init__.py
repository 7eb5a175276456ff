"""Offline transitions: the data set, its file formats, its checks and its collection."""
