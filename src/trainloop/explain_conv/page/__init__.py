"""The page of an explanation: one file that asks nobody for anything, and computes by itself what its form is changed to."""
