"""What the operating system gives: files, cores, processes, progress, downloads."""
