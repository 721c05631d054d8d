"""Reading and writing files: images, depth, arrays, videos, tables; hostile until checked."""
