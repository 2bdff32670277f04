"""Features: one forward pass to pooled features of every layer, the cache, and the additive statistics."""
