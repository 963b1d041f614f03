"""From bytes to pixels: decoding in child processes, geometries, loading ahead."""
