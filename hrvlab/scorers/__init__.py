"""Scores of images against texts: CLIP for any image, a judge for images of the miniature."""
