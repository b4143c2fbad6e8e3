"""The discrete Ricci flow of weights as a regulariser, and the paper's two algorithms."""
