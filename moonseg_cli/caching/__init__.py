"""`moonseg cache` on many scenes: jobs, who works on them, resuming, what is said about it."""
