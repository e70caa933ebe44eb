"""Where the two engines meet: files and lesions from the one are handed to the other."""
