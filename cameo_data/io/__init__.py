"""Reading and writing images, depth, arrays, videos and tables; input is hostile until checked."""
