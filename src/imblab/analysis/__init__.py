"""Pure analysis: the tidy table in, tables and sentences out."""
