"""The report of a derivation: a table by module, and a page with both profiles through depth."""
