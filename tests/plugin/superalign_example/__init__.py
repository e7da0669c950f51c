"""One of everything that superalign can be given from outside, a file each."""
