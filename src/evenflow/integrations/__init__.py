"""Other libraries' models and trainers: one file a library, imported when it is asked for."""
