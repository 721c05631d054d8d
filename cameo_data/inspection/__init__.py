"""What ``cameo-data inspect`` shows: scenes listed, some frames read."""
