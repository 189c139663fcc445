"""What the product does: one function per intention, whatever the surface."""
