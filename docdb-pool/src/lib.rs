//! Many isolated DocDB databases in one process: catalog, lazy open, shared flush executor.
