"""Tables from rows; sees tables only, never torch."""
