"""The subcommands of `minigrad`, a file each: its options, and the few lines that call what does the work."""
