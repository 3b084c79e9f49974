"""The board: one small file for each defence, its figures under a suite of attacks, one page of all."""
