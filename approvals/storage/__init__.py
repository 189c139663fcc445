"""Where the truth is kept: tables, and one engine per database behind the same port."""
