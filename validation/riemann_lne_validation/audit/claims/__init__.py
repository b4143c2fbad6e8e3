"""The checks, one file a section of the paper, one function a claim."""
