//! What leaves, and what must not: each obstacle keeps its day, and only the maintenance identity drops.
