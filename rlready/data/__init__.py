"""What the data is: the registry of sources, their files, the rows in them, and the problems that rows become."""
