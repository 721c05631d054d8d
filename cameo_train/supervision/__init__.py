"""What attention is supervised with: targets, rows, heads, losses."""
