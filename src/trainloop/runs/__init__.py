"""What lies in run folders: listed, shown, compared and cleaned. Nothing here prints, and nothing here loads torch.

A run folder may be half written, of another version, or made by somebody else: every file is read up to a limit, never
through a link, and checked before it is believed (``reading.py``).
"""
