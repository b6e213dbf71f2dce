"""Publishing: rows made into one archive, and archives of strangers checked and added to the published ones."""
