"""The steps from a picture to a motion: one packet in, one packet out."""
