"""One file per score; the folder is the registry."""
