"""Finished work at full scale on the miniature: made once, shipped, read by chapters, checked."""
