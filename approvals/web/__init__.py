"""Server-rendered pages: people sign in, read a call and decide, also without scripts."""
