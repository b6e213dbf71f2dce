"""One augmentation method per file; `base` holds the contract. The registry finds them by their file names."""
