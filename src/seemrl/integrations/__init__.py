"""The instrument inside other people's trainers: a small file each, which loads its library when it is used."""
