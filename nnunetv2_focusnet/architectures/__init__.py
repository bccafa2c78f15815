"""Networks in plain torch; nothing here knows of trainers, planning or files."""
