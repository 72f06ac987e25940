"""Transports: each is a `Remote`, a store of named objects. A layout stands above, `choose` picks one by its URL."""
